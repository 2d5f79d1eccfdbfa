import ArgumentParser
import Glibc
import Hub
import Support

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Show the models that were pulled.",
    discussion: """
      Shows what is in the models directory: $FLASHMOE_MODELS, else \
      $XDG_DATA_HOME/flashmoe/models, else ~/.local/share/flashmoe/models. Commands that take a \
      store take a name from here too.
      """)

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func run() throws {
    let library = try ModelLibrary.standard()
    let models = try library.list()
    if common.json {
      Output.print([
        "directory": .string(library.path), "models": .array(models.map { .object(Self.json($0)) }),
      ])
      return
    }
    guard !models.isEmpty else {
      Output.message("no models in \(library.path). Next: flashmoe pull ORG/NAME --pack")
      return
    }
    var table = Table(.left, .left, .right, .left, .left, .left)
    table.add("NAME", "KIND", "SIZE", "STORED AS", "FAMILY", "CHANGED")
    for model in models {
      table.add(
        model.name, model.kind.rawValue, ByteCount.format(model.bytes), model.scheme ?? "",
        model.family ?? "", Self.date(model.modified))
    }
    Output.print(table)
  }

  static func json(_ model: InstalledModel) -> JSONObject {
    [
      "name": .string(model.name), "kind": .string(model.kind.rawValue),
      "path": .string(model.path), "bytes": .integer(model.bytes),
      "scheme": .optional(model.scheme), "family": .optional(model.family),
      "modified": .integer(model.modified),
    ]
  }

  /// `2026-01-31 17:05`, local time.
  private static func date(_ seconds: Int) -> String {
    var time = time_t(seconds)
    var parts = tm()
    localtime_r(&time, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
      + "\(two(parts.tm_hour)):\(two(parts.tm_min))"
  }
}
