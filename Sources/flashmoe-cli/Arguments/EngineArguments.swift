import ArgumentParser
import FlashMoE
import Support
import WeightStore

extension CachePolicyKind: ExpressibleByArgument {}
extension ReadBackendKind: ExpressibleByArgument {}
extension DirectMode: ExpressibleByArgument {}
extension ActivationType: ExpressibleByArgument {}
extension KernelLevel: ExpressibleByArgument {}

/// How a model is loaded and streamed.  Only --ctx, --kv, --activations and --kernels can change
/// a result; the rest changes speed and memory.
struct EngineArguments: ParsableArguments {
  @Option(
    name: .customLong("ram"),
    help: ArgumentHelp(
      "Memory the whole process may use, a hard limit: 6GB, 6GiB, 512MB."
        + " Default: most of what is available.", valueName: "size"),
    transform: ByteSizeArgument.parse)
  var budgetBytes: Int?

  @Option(
    name: .customLong("ctx"),
    help: ArgumentHelp(
      "Positions of the context. Default: up to 4096, fewer in small budgets.", valueName: "n"))
  var contextLength: Int?

  @Option(
    name: [.customShort("t"), .customLong("threads")],
    help: ArgumentHelp(
      "Threads that compute. Default: one a core; on hybrid processors, one a performance core.",
      valueName: "n"))
  var threadCount: Int?

  @Option(
    name: .customLong("cpus"),
    help: ArgumentHelp(
      "Processors that compute threads run on, like 0-3,8; off leaves it to the system, auto takes"
        + " performance cores where there are others too.", valueName: "list"),
    transform: { text in
      do throws(Failure) { return try ThreadPlacement.Choice(parsing: text) } catch {
        throw ValidationError(error.problem + ". " + (error.remedy ?? ""))
      }
    })
  var placement = ThreadPlacement.Choice.automatic

  @Option(
    name: .customLong("chunk"),
    help: ArgumentHelp(
      "Prompt tokens that go through a layer together. Default: what the budget allows.",
      valueName: "n"))
  var chunkLength: Int?

  @Option(
    name: .customLong("slots"),
    help: ArgumentHelp("Experts the cache holds. Default: all the budget leaves.", valueName: "n"))
  var slotCount: Int?

  @Option(help: ArgumentHelp("Which expert leaves the cache first.", valueName: "policy"))
  var policy = CachePolicyKind.foresight

  @Flag(name: .customLong("no-prefetch"), help: "Do not read experts before they are asked for.")
  var noPrefetch = false

  @Option(
    name: .customLong("io"),
    help: ArgumentHelp("Who reads: io_uring, or threads with pread.", valueName: "backend"))
  var backend = ReadBackendKind.auto

  @Option(help: ArgumentHelp("Whether reads go past the page cache (O_DIRECT).", valueName: "mode"))
  var direct = DirectMode.auto

  @Option(
    name: .customLong("kv"),
    help: ArgumentHelp(
      "Numbers in the key/value cache: f16, f32, or q8, which halves it. \(KeyValueType.cost)"
        + " Default: f16, or f32 for stores that are unquantized or packed with --scheme none.",
      valueName: "type"))
  var wantedKeyValueType: KeyValueType?

  @OptionGroup(visibility: .hidden) var familiar: FamiliarArguments

  @Option(
    help: ArgumentHelp(
      "Numbers that meet quantized weights in products. Default: int8, or f32 for stores packed with"
        + " --scheme none.", valueName: "type"))
  var activations: ActivationType?

  @Option(
    name: .customLong("kernels"),
    help: ArgumentHelp("Instruction set. Default: the best this processor has.", valueName: "level")
  )
  var kernelLevel: KernelLevel?

  mutating func validate() throws {
    try NumberArgument.check(contextLength, "--ctx", 1...Int.max)
    try NumberArgument.check(threadCount, "--threads", 1...1024)
    try NumberArgument.check(chunkLength, "--chunk", 1...Int.max)
    try NumberArgument.check(slotCount, "--slots", 1...Int.max)
    try familiar.check(against: wantedKeyValueType)
  }

  var keyValueType: KeyValueType? { wantedKeyValueType ?? familiar.keyValueType }

  var options: EngineOptions {
    EngineOptions(
      budgetBytes: budgetBytes, contextLength: contextLength, chunkLength: chunkLength,
      slotCount: slotCount, threadCount: threadCount, placement: placement,
      activations: activations, keyValueType: keyValueType, kernelLevel: kernelLevel,
      streamer: StreamerOptions(
        policy: policy, prefetch: !noPrefetch, backend: backend, direct: direct))
  }
}
