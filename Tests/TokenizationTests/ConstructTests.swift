import Support
import Testing

@testable import Tokenization

/// One construct of tokenizer.json at a time, against what the `tokenizers` library makes of it
/// (`tools/make_tokenizer_cases.py`).
@Suite struct ConstructTests {
  @Test func everyConstruct() throws {
    let path = Fixtures.own + "/constructs.json"
    let document = try FileSystem.readJSON(path)
    let bases = [
      "spm": try #require(document["spm"]?.object),
      "tiny-granite": try #require(
        try FileSystem.readJSON(Fixtures.own + "/tiny-granite/tokenizer.json").object),
    ]
    let entries = try #require(document["entries"]?.array)
    #expect(entries.count > 60)
    for entry in entries {
      let name = try #require(entry["name"]?.string)
      var config = try #require(bases[entry["base"]?.string ?? ""])
      for (key, value) in entry["set"]?.object?.members ?? [] { config[key] = value }
      var model = try #require(config["model"]?.object)
      for (key, value) in entry["model"]?.object?.members ?? [] { model[key] = value }
      config["model"] = .object(model)
      let added = (config["added_tokens"]?.array ?? []) + (entry["added"]?.array ?? [])
      config["added_tokens"] = .array(added)
      let tokenizer = try Tokenizer(json: .object(config), subject: name)
      for item in entry["cases"]?.array ?? [] {
        let text = try #require(item["text"]?.string)
        let ids = Self.ids(item["ids"]) ?? []
        #expect(try tokenizer.encode(text) == ids, "\(name): \(text.debugDescription)")
        #expect(
          try tokenizer.encode(text, addSpecialTokens: true)
            == Self.ids(item["ids_with_special"]) ?? ids, "\(name)")
        let decoded = try tokenizer.decode(ids)
        #expect(Fixtures.identical(decoded, item["decoded"]?.string), "\(name): \(ids)")
      }
      for item in entry["decodes"]?.array ?? [] {
        let ids = Self.ids(item["ids"]) ?? []
        let decoded = try tokenizer.decode(ids, skipSpecialTokens: true)
        #expect(Fixtures.identical(decoded, item["decoded"]?.string), "\(name): \(ids)")
        try StreamTests.checkStream(tokenizer, ids)
      }
    }
  }

  private static func ids(_ value: JSONValue?) -> [Int32]? {
    value?.array?.compactMap { $0.integer.map(Int32.init) }
  }
}
