import ArgumentParser
import FlashMoE
import Support

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Measure this machine, and say which models it runs and how fast.",
    discussion: """
      Nothing is downloaded. Disk, memory and arithmetic are measured for about three seconds; \
      the disk with a file of 512 MB that is removed again. Speeds are what these numbers allow \
      (bytes divided by bandwidth), with experts used evenly; real text reuses experts, and \
      streamed models then decode faster.

      Example: flashmoe doctor --ram 6GB --disk /mnt/models
      """)

  @Option(
    name: .customLong("ram"),
    help: ArgumentHelp(
      "The budget to plan for. Default: most of what is available.", valueName: "size"),
    transform: ByteSizeArgument.parse)
  var budgetBytes: Int?

  @Option(
    name: .customLong("ctx"), help: ArgumentHelp("Positions of the context.", valueName: "n"))
  var contextLength = 4096

  @Option(
    name: .customLong("disk"),
    help: ArgumentHelp("Where models will lie.", valueName: "folder"), completion: .directory)
  var folder = "."

  @Option(
    name: [.customShort("t"), .customLong("threads")],
    help: ArgumentHelp("Threads that compute. Default: one a core.", valueName: "n"))
  var threadCount: Int?

  @Flag(name: .customLong("no-probe"), help: "Do not measure; sizes only.")
  var noProbe = false

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    try NumberArgument.check(contextLength, "--ctx", 1...Int.max)
    try NumberArgument.check(threadCount, "--threads", 1...1024)
  }

  mutating func run() throws {
    let options = EngineOptions(
      budgetBytes: budgetBytes, contextLength: contextLength, threadCount: threadCount)
    var machine = try MachineFacts(folder: folder, threads: options.threadCount)
    if !noProbe {
      if !common.json { Output.message("measuring disk, memory and arithmetic …") }
      try machine.measure(budgetBytes: DiskProbe.freeBytes(budgetBytes: budgetBytes))
    }
    var outlooks: [ModelOutlook] = []
    for shape in ModelShape.published {
      outlooks.append(ModelOutlook(try ShapePlan(shape, options: options), machine: machine))
    }
    let budget = budgetBytes ?? outlooks.lazy.compactMap { $0.model.plan?.budgetBytes }.first
    if common.json {
      Output.print([
        "machine": .object(machine.json), "budget_bytes": .optional(budget),
        "context": .integer(contextLength),
        "models": .array(outlooks.map { $0.json(freeDiskBytes: machine.freeDiskBytes) }),
      ])
      return
    }
    Output.print(Style.heading("This machine"))
    Output.print(machine.table)
    Output.print("")
    Output.print(
      Style.heading("Models in \(budget.map { ByteCount.format($0) } ?? "what is available")")
        + ", 4-bit, context \(contextLength)")
    var table = Table(.left, .right, .right, .right, .right, .left)
    table.add("model", "on disk", "least RAM", "prompt tok/s", "decode tok/s", "")
    for outlook in outlooks { table.add(outlook.cells(freeDiskBytes: machine.freeDiskBytes)) }
    Output.print(table)
    Output.print("")
    if outlooks.contains(where: { $0.model.storeBytes > machine.freeDiskBytes }) {
      Output.print("  (!) more than is free on that disk now")
    }
    Output.print(
      "  prompt: of \(ModelOutlook.promptTokens) tokens; decode: disk and memory in turn – at once")
    Output.print("\nTry before downloading: flashmoe synth --shape NAME -o test.fmoe")
  }
}
