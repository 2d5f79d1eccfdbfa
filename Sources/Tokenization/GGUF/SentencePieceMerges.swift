import Support

/// Merges of a SentencePiece vocabulary, which holds scores instead.
///
/// Any split of a piece into two other pieces is a merge; the higher a piece's score, the earlier.
/// Order among equals is that of the converter in `transformers`, so that ids agree with it.
enum SentencePieceMerges {
  private struct Merge {
    let left: Int
    let right: Int
    let score: Double
    let leftLength: Int
    let rightLength: Int
    let order: Int
  }

  /// Pieces are split at every place; longer ones than this cannot be pieces of a real model.
  private static let maximumPieceLength = 512

  /// - Throws: `Failure(.malformed)` where scores are missing, too few or not numbers.
  static func merges(_ source: GGUFTokens) throws(Failure) -> [JSONValue] {
    guard let scores = try source.list("scores") else { throw source.missing("scores") }
    let values = scores.compactMap(\.double)
    guard values.count == source.tokens.count, scores.count == values.count else {
      throw Failure(
        .malformed, source.subject, at: "tokenizer.ggml.scores",
        "\(values.count) scores for \(source.tokens.count) tokens")
    }
    let tokens = source.tokens.map { Array($0.utf8) }
    var vocabulary = Vocabulary()
    for (id, token) in tokens.enumerated() {
      do throws(Vocabulary.Conflict) {
        try token.withUnsafeBufferPointer { (bytes) throws(Vocabulary.Conflict) in
          try vocabulary.add(bytes, id: id, kind: .model, idLimit: tokens.count)
        }
      } catch {
        throw Failure(
          .malformed, source.subject, at: "tokenizer.ggml.tokens[\(id)]",
          "the token \"\(source.tokens[id])\" stands twice")
      }
    }
    var merges: [Merge] = []
    for (id, token) in tokens.enumerated() where source.kinds[id] == .normal {
      guard token.count <= maximumPieceLength else { continue }
      var splits: [(left: Int, right: Int, at: Int)] = []
      token.withUnsafeBufferPointer { bytes in
        for at in bytes.indices.dropFirst() where bytes[at] & 0xC0 != 0x80 {
          if let left = vocabulary.id(UnsafeBufferPointer(rebasing: bytes[..<at])),
            let right = vocabulary.id(UnsafeBufferPointer(rebasing: bytes[at...]))
          {
            splits.append((left, right, at))
          }
        }
      }
      splits.sort { ($0.left, $0.right) < ($1.left, $1.right) }
      for split in splits {
        merges.append(
          Merge(
            left: split.left, right: split.right, score: values[id],
            leftLength: characters(tokens[split.left]),
            rightLength: characters(tokens[split.right]), order: merges.count))
      }
    }
    merges.sort { left, right in
      if left.score != right.score { return left.score > right.score }
      if left.leftLength != right.leftLength { return left.leftLength > right.leftLength }
      if left.rightLength != right.rightLength { return left.rightLength > right.rightLength }
      return left.order < right.order
    }
    return merges.map { merge in
      .array([.string(source.tokens[merge.left]), .string(source.tokens[merge.right])])
    }
  }

  private static func characters(_ token: [UInt8]) -> Int { token.count { $0 & 0xC0 != 0x80 } }
}
