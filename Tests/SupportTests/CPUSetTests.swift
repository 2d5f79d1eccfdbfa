import Support
import Testing

@Suite struct CPUSetTests {
  @Test(arguments: [
    ("0", [0]), ("0-3", [0, 1, 2, 3]), ("0-1,8,10-11\n", [0, 1, 8, 10, 11]),
    ("3,1,1-2", [1, 2, 3]),
    ("", []), ("\n", []), ("8191", [8191]),
  ])
  func listsAreRead(text: String, members: [Int]) throws {
    let set = try #require(CPUSet(list: text))
    #expect(set.members == members)
    #expect(CPUSet(list: set.description) == set)
  }

  @Test(arguments: [
    "-1", "1-", "-", ",", "1,", ",1", "3-1", "a", "0x1", "1 2", "+1", "0-3:1/2", "8192",
    "99999999999999999999", "0--1", "1-2-3", "٣",
  ])
  func otherTextsAreRefused(text: String) { #expect(CPUSet(list: text) == nil) }

  @Test func descriptionsAreShort() {
    #expect(CPUSet([5, 1, 2, 3, 9, 8]).description == "1-3,5,8-9")
    #expect(CPUSet([]).description == "")
    #expect(CPUSet([-1, 0, 9000]).members == [0])
  }

  @Test func choicesAreReadOrRefusedByName() throws {
    #expect(try ThreadPlacement.Choice(parsing: "AUTO") == .automatic)
    #expect(try ThreadPlacement.Choice(parsing: "off") == .off)
    #expect(try ThreadPlacement.Choice(parsing: "0-2") == .processors([0, 1, 2]))
    for text in ["", "on", "3-1", "0;1"] {
      let failure = #expect(throws: Failure.self) { try ThreadPlacement.Choice(parsing: text) }
      #expect(failure?.kind == .usage && failure?.subject == "--cpus")
      #expect(failure?.remedy?.contains("0-3,8") == true)
    }
  }
}
