import Support

/// Ids put in front of and behind a text (`post_processor`).
struct PostProcessor: Sendable {
  private(set) var prefix: [Int32] = []
  private(set) var suffix: [Int32] = []

  init(_ configuration: Configuration?, vocabulary: Vocabulary) throws(Failure) {
    guard let configuration else { return }
    for part in try configuration.unfolded("processors") {
      let type = try part.required("type")
      switch try type.string() {
      // Changes offsets only.
      case "ByteLevel": continue
      case "TemplateProcessing":
        guard prefix.isEmpty, suffix.isEmpty else {
          throw type.unsupported("more than one TemplateProcessing")
        }
        try readTemplate(part, vocabulary)
      case let name: throw type.unsupported("the post-processor \"\(name)\" is not supported")
      }
    }
  }

  private mutating func readTemplate(_ part: Configuration, _ vocabulary: Vocabulary)
    throws(Failure)
  {
    let known = part["special_tokens"]
    var sawText = false
    for piece in try part.required("single").elements() {
      if let sequence = piece["Sequence"] {
        guard !sawText, try sequence.string("id") == "A" else {
          throw sequence.unsupported("a template that does not hold the text once")
        }
        sawText = true
        continue
      }
      let special = try piece.required("SpecialToken")
      let name = try special.string("id")
      guard let token = known?[name] else {
        throw special.malformed("\"\(name)\" is not among the template's special tokens")
      }
      for id in try token.required("ids").elements() {
        let value = try id.integer(in: 0...Vocabulary.maximumID - 1)
        guard vocabulary.contains(value) else { throw id.malformed("no token has the id \(value)") }
        if sawText { suffix.append(Int32(value)) } else { prefix.append(Int32(value)) }
      }
    }
    guard sawText else { throw part.malformed("the template does not hold the text") }
  }
}
