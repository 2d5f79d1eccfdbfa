import ChatTemplates
import Support
import TestSupport

/// A file of conversations with what a template makes of them.
struct Cases {
  let template: ChatTemplate
  private let document: JSONValue

  /// - Parameter folder: where `template` of the document lies.
  init(_ path: String, templatesIn folder: String) throws {
    document = try FileSystem.readJSON(path, limitBytes: 64 << 20)
    let name = document["template"]?.string ?? ""
    template = try ChatTemplate(
      try FileSystem.readText(folder + "/" + name), name: FileSystem.name(of: name))
  }

  var all: [JSONValue] { document["cases"]?.array ?? [] }

  func input(_ item: JSONValue) -> ChatTemplateInput {
    ChatTemplateInput(
      messages: item["messages"] ?? .array([]), arguments: item["arguments"]?.object ?? [:],
      specialTokens: document["special_tokens"]?.object ?? [:],
      clock: document["clock"]?.string.flatMap { CivilTime($0) })
  }

  /// What is wrong with a case, or nil.
  func complaint(_ item: JSONValue) -> String? {
    let label = "\(template.name), \(item["case"]?.string ?? "?")"
    do throws(Failure) {
      let text = try template.render(input(item))
      guard let wanted = item["rendered"]?.string else {
        // Where Python fails by itself, being lenient is no mistake.
        return item["raises"] == nil ? nil : "\(label): not refused"
      }
      guard ExactString(text) != ExactString(wanted) else { return nil }
      let same = zip(text.unicodeScalars, wanted.unicodeScalars).prefix { $0 == $1 }.count
      return
        "\(label): differs at character \(same): \(text.unicodeScalars.dropFirst(same).prefix(60))"
    } catch {
      if item["rendered"] != nil { return "\(label): \(error)" }
      guard let wanted = item["raises"]?.string else { return nil }
      return error.problem == wanted ? nil : "\(label): \(error.problem) instead of \(wanted)"
    }
  }
}
