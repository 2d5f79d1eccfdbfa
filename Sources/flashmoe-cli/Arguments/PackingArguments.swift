import ArgumentParser
import FlashMoE
import Support
import WeightStore

/// How a store is written, for `pack` and `synth`.
struct PackingArguments: ParsableArguments {
  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("The store to make.", valueName: "name.fmoe"), completion: .directory)
  var output: String?

  @Option(
    help: ArgumentHelp(
      "How experts are stored: q4 (default), q4a, mxfp4, q8, q3, q2, bf16, f16, f32, or none to keep the"
        + " source's numbers.", valueName: "scheme"))
  var scheme = "auto"

  @Option(
    help: ArgumentHelp(
      "How all other matrices are stored (default: q8; with --scheme none: none).",
      valueName: "scheme"))
  var residentScheme: String?

  @Option(
    name: .customLong("override"),
    help: ArgumentHelp(
      "A scheme for tensors whose name matches, like '*.down=q8'; may be given often.",
      valueName: "pattern=scheme"))
  var overrides: [String] = []

  @Option(
    name: [.customShort("t"), .customLong("threads")],
    help: ArgumentHelp("Threads that work. Default: one a core and one more.", valueName: "n"))
  var threadCount: Int?

  @Flag(help: "Replace a store that already has this name.")
  var overwrite = false

  @Flag(help: "Throw an unfinished pack under this name away instead of resuming it.")
  var restart = false

  mutating func validate() throws { try NumberArgument.check(threadCount, "--threads", 1...1024) }

  func packingOptions(plainRounding: Bool = false) throws(Failure) -> PackingOptions {
    let experts = try SchemeChoice(parsing: scheme)
    var residents = SchemeChoice.automatic
    if let residentScheme {
      residents = try SchemeChoice(parsing: residentScheme, flag: "--resident-scheme")
    } else if experts == .keep {
      // Someone who wants the source's bits wants all of them.
      residents = .keep
    }
    var parsed: [SchemeOverride] = []
    for text in overrides { parsed.append(try SchemeOverride(parsing: text)) }
    return PackingOptions(
      experts: experts, residents: residents, overrides: parsed, searchesScales: !plainRounding)
  }

  /// How the work is done; Ctrl-C ends it.
  var packOptions: PackOptions {
    PackOptions(
      threadCount: threadCount ?? PackOptions.defaultThreadCount, overwrites: overwrite,
      discardsPartial: restart, isCancelled: { Interruption.happened })
  }

  /// Whether anything but the output was given.
  var decidesAnything: Bool {
    scheme != "auto" || residentScheme != nil || !overrides.isEmpty || threadCount != nil
      || overwrite || restart
  }

  /// `pull` finds a place itself; others have to be told.
  func requiredOutput() throws(Failure) -> String {
    if let output { return output }
    throw Failure(
      .usage, "--output", "is missing", remedy: "Name the store to make: -o NAME.fmoe")
  }

  /// Writes the store, with progress on stderr; Ctrl-C keeps what is done for the next time.
  func pack(_ plan: PackPlan, label: String) throws(Failure) -> PackResult {
    let output = try requiredOutput()
    for warning in plan.warnings { Diagnostics.warn(warning) }
    let progress = ProgressLine(label)
    defer { progress.finish() }
    Interruption.handle {}
    do throws(Failure) {
      return try Packer.pack(
        plan, to: output,
        options: packOptions,
        progress: { state in progress.show(Self.text(state)) })
    } catch {
      var told = error
      if told.kind == .cancelled { told.subject = output }
      throw told
    }
  }

  static func text(_ state: PackProgress) -> String {
    let share = Double(state.sourceBytes) / Double(max(state.totalSourceBytes, 1)) * 100
    var text =
      "\(ByteCount.fixed(share, digits: 0)) %, \(ByteCount.format(state.sourceBytes)) of "
      + "\(ByteCount.format(state.totalSourceBytes)), "
      + "\(ByteCount.format(Int(state.bytesPerSecond)))/s"
    if let left = state.secondsLeft { text += ", \(ProgressLine.duration(left)) left" }
    return text
  }
}
