import ArgumentParser
import Support

/// Token ids as people write them: `1,2,3`, spaces, line breaks and a JSON list's brackets allowed.
enum TokenIDs {
  static func parse(_ text: String) throws -> [Int32] {
    do throws(Failure) {
      return try parse(text, subject: "--ids")
    } catch {
      throw ValidationError(error.problem)
    }
  }

  static func parse(_ text: String, subject: String) throws(Failure) -> [Int32] {
    var ids: [Int32] = []
    var body = text[...]
    while let last = body.last, last.isWhitespace { body.removeLast() }
    while let first = body.first, first.isWhitespace { body.removeFirst() }
    if body.first == "[", body.last == "]" { body = body.dropFirst().dropLast() }
    // One comma may end the list; two in a row are a number that went missing.
    if body.last == "," { body.removeLast() }
    let fields = body.split(separator: ",", omittingEmptySubsequences: body.isEmpty)
    for field in fields {
      let words = field.split(whereSeparator: \.isWhitespace)
      guard !words.isEmpty else {
        throw Failure(
          .usage, subject, "a token id is missing between two commas",
          remedy: "Write ids like 1,2,3")
      }
      for word in words { ids.append(try id(word, subject)) }
    }
    guard !ids.isEmpty else {
      throw Failure(.usage, subject, "there are no token ids", remedy: "Write ids like 1,2,3")
    }
    return ids
  }

  private static func id(_ word: Substring, _ subject: String) throws(Failure) -> Int32 {
    guard let id = Int32(word), id >= 0 else {
      throw Failure(
        .usage, subject, "\"\(word.prefix(40))\" is not a token id",
        remedy: "Write ids like 1,2,3")
    }
    return id
  }
}
