import FlashMoE
import Support

/// The command line.
struct Options {
  var groups = Measurement.Group.allCases
  var wantsJSON = false
  var storePath: String
  var budgetBytes: Int?
  static let demoBudgetBytes = 20_000_000
  var threadCount = EngineOptions.processorCount

  static let usage = """
    usage: flashmoe-benchmarks [--filter GROUP[,GROUP]] [--store NAME.fmoe] [--ram SIZE] \
    [--threads N] [--json]

      --filter   kernels, streamer, cache, end-to-end; default: all
      --store    store for streamer and end-to-end; default: the demo model
      --ram      budget of end-to-end; default: 20MB for the demo model, else most of memory
      --threads  threads that compute; default: all processors
      --json     one JSON document in place of the table
    """

  init(_ arguments: [String], demoStore: String) throws(Failure) {
    storePath = demoStore
    var rest = arguments[...]
    while let name = rest.popFirst() {
      if name == "--json" {
        wantsJSON = true
        continue
      }
      guard ["--filter", "--store", "--ram", "--threads"].contains(name) else {
        throw Failure(.usage, name, "there is no such option", remedy: Self.usage)
      }
      guard let value = rest.popFirst() else {
        throw Failure(.usage, name, "its value is missing", remedy: Self.usage)
      }
      switch name {
      case "--filter":
        groups = []
        for word in value.split(separator: ",") {
          guard let group = Measurement.Group(rawValue: String(word)) else {
            let known = Measurement.Group.allCases.map(\.rawValue).joined(separator: ", ")
            throw Failure(.usage, "--filter \(word)", "there is no such group", remedy: known)
          }
          groups.append(group)
        }
      case "--store": storePath = value
      case "--ram":
        guard let bytes = ByteCount.parse(value), bytes > 0 else {
          throw Failure(.usage, name, "\(value) is no size", remedy: "Sizes are 6GB or 512MB")
        }
        budgetBytes = bytes
      default:
        guard let count = Int(value), (1...1024).contains(count) else {
          throw Failure(.usage, name, "\(value) is not a number from 1 to 1024")
        }
        threadCount = count
      }
    }
    if storePath == demoStore, budgetBytes == nil { budgetBytes = Self.demoBudgetBytes }
  }
}
