import Support
import Testing

@Suite struct JSONValueTests {
  @Test func convertsOnlyWhatFits() {
    #expect(JSONValue.number(1e3).integer == 1000)
    #expect(JSONValue.number(0.5).integer == nil)
    #expect(JSONValue.number(1e300).integer == nil)
    #expect(JSONValue.number(.nan).integer == nil)
    #expect(JSONValue.integer(3).double == 3)
    #expect(JSONValue.string("3").integer == nil)
    #expect(JSONValue.bool(true).integer == nil)
    #expect(JSONValue.integer(1).bool == nil)
    #expect(JSONValue.null.isNull && !JSONValue.bool(false).isNull)
    #expect(JSONValue.array([])["a"] == nil)
  }

  @Test func editsObjectsInOrder() {
    var object: JSONObject = ["a": .integer(1), "b": .integer(2), "c": .integer(3)]
    object["b"] = .integer(20)
    object["d"] = .integer(4)
    object["a"] = nil
    object["absent"] = nil
    #expect(object.keys == ["b", "c", "d"])
    #expect(object["b"] == .integer(20))
    for at in 0..<100 { object["n\(at)"] = .integer(at) }
    for at in stride(from: 0, to: 100, by: 2) { object["n\(at)"] = nil }
    #expect((0..<100).allSatisfy { object["n\($0)"] == ($0 % 2 == 0 ? nil : .integer($0)) })
    for at in 0..<100 { object["n\(at)"] = nil }
    #expect(object.keys == ["b", "c", "d"])
    #expect(object["d"] == .integer(4))
    #expect((["a": .null, "b": .null] as JSONObject) != ["b": .null, "a": .null])
  }

  @Test func writesCompactText() {
    let value = JSONValue.object([
      "z": .array([.integer(1), .number(0.1), .number(5), .null, .bool(true)]),
      "a": .string("\"\\\n\r\t\u{1}\u{1F}é🙂/"), "n": .number(.infinity), "e": .object([:]),
    ])
    #expect(
      value.serialized()
        == #"{"z":[1,0.1,5.0,null,true],"a":"\"\\\n\r\t\u0001\u001fé🙂/","n":null,"e":{}}"#)
  }

  @Test func writesPrettyText() {
    let value = JSONValue.object([
      "a": .array([.integer(1), .integer(2)]),
      "b": .array([.object(["c": .null]), .array([])]), "d": .array([]), "e": .object([:]),
    ])
    #expect(
      value.serialized(pretty: true) == """
        {
          "a": [1,2],
          "b": [
            {
              "c": null
            },
            []
          ],
          "d": [],
          "e": {}
        }
        """)
  }

  @Test func everyDoubleSurvivesWritingAndReading() throws {
    var bits: UInt64 = 1
    for _ in 0..<20_000 {
      bits = bits &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let value = Double(bitPattern: bits)
      guard value.isFinite else { continue }
      let text = JSONValue.number(value).serialized()
      #expect(try JSONValue.parse(text, subject: text) == .number(value))
    }
  }
}
