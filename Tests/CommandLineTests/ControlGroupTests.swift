import Support
import TestSupport
import Testing

/// The promise of `--ram`, kept by the kernel: the program runs in control groups of exactly its
/// budget, where one page too many would get it killed.
@Suite(.serialized) struct ControlGroupTests {
  private static let demo = Fixtures.packageRoot + "/Models/demo.fmoe"

  /// Runs the program in a group of `budgetBytes` and with that budget.
  private func check(
    _ arguments: [String], budgetBytes: Int, location: SourceLocation = #_sourceLocation
  ) throws {
    let made = MemoryControlGroup.make(limitBytes: budgetBytes)
    guard let group = made.group else {
      print("not tested: a budget under a control group (\(made.reason))")
      return
    }
    var child = try ChildProcess(
      group.command(arguments + ["--ram", "\(budgetBytes)", "--json"]), program: "/bin/sh")
    let result = child.finish()
    #expect(result.code == 0, "\(arguments): \(result.messages)", sourceLocation: location)
    #expect(group.killCount == 0, sourceLocation: location)
    guard result.code == 0 else { return }
    let document = try result.json()
    let told = try #require(
      document["stats"]?["peak_bytes"]?.integer ?? document["peak_bytes"]?.integer,
      "no peak in \(result.output)", sourceLocation: location)
    let peak = try #require(group.peakBytes, sourceLocation: location)
    #expect(peak <= budgetBytes, sourceLocation: location)
    // The program looks a moment before it ends.
    #expect(
      abs(peak - told) <= max(peak / 100, 512 << 10), "told \(told), the group's \(peak)",
      sourceLocation: location)
  }

  private func minimumBytes(_ store: String) throws -> Int {
    let plan = try flashmoe("plan", store, "--ram", "1GB", "--ctx", "64", "--no-probe", "--json")
    return try #require(try plan.json()["minimum_bytes"]?.integer, "\(plan.messages)")
  }

  private func checkRunAndBench(_ store: String, budgetBytes: Int, context: [String]) throws {
    try check(
      ["run", store, "--ids", "1,2,3,4,5", "-n", "12"] + context, budgetBytes: budgetBytes)
    try check(
      ["bench", store, "-p", "16", "-n", "8", "-r", "1", "--no-probe"] + context,
      budgetBytes: budgetBytes)
  }

  @Test func tinyStoresAtTheirMinimum() throws {
    for store in [try TinyStore.exact(), try TinyStore.quantized()] {
      try checkRunAndBench(
        store, budgetBytes: try minimumBytes(store), context: ["--ctx", "64"])
    }
  }

  @Test(.enabled(if: FileSystem.exists(demo + "/manifest.json")))
  func demoModelAtItsMinimum() throws {
    try checkRunAndBench(
      Self.demo, budgetBytes: try minimumBytes(Self.demo), context: ["--ctx", "64"])
  }

  @Test(.enabled(if: FileSystem.exists(demo + "/manifest.json")))
  func demoModelInTwentyMegabytes() throws {
    try checkRunAndBench(Self.demo, budgetBytes: 20_000_000, context: [])
  }
}
