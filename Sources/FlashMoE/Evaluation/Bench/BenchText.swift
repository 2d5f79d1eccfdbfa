import Support

/// The tokens a benchmark feeds, and what to call them.
///
/// Routing follows the text, so a cache behaves as in use only on text the model knows.  Random
/// tokens spread over experts as no text does.
public struct BenchText: Sendable {
  public enum Source: Sendable, Equatable {
    /// A fixed text, fed token by token; `name` says which.
    case text(name: String)
    case random(seed: UInt64)
  }

  public let source: Source
  private let tokens: [Int32]
  private let vocabularySize: Int

  /// - Throws: `Failure(.usage)` for a text without tokens.
  public init(tokens: [Int32], name: String) throws(Failure) {
    guard !tokens.isEmpty else {
      throw Failure(.usage, name, "it has no tokens", remedy: "Give a longer text")
    }
    source = .text(name: name)
    self.tokens = tokens
    vocabularySize = 0
  }

  public init(randomBelow vocabularySize: Int, seed: UInt64) {
    source = .random(seed: seed)
    tokens = []
    self.vocabularySize = max(vocabularySize, 1)
  }

  /// A passage of `count` tokens; different for every index as long as the text lasts.
  public func passage(_ index: Int, count: Int) -> [Int32] {
    switch source {
    case .text:
      return (0..<count).map { tokens[(index * count + $0) % tokens.count] }
    case .random(let seed):
      var random = RandomSource(seed: seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15)
      return (0..<count).map { _ in Int32(random.next() % UInt64(vocabularySize)) }
    }
  }

  /// Whether `passages` passages of `count` tokens need the text more than once.
  public func repeats(passages: Int, count: Int) -> Bool {
    if case .random = source { return false }
    return passages * count > tokens.count
  }

  /// `text` or `random`, as a table says it.
  public var kind: String {
    if case .random = source { return "random" }
    return "text"
  }

  public var description: String {
    switch source {
    case .text(let name): "\(name), \(tokens.count) tokens"
    case .random(let seed): "random tokens, seed \(seed)"
    }
  }

  /// What is fed when a store can read text and none was given; ours, in plain English.
  public static let sample = """
    Once upon a time there lived at the edge of a great forest a miller who had three daughters. \
    The eldest could count every sack in the mill by the sound of its falling, the second could \
    call the wind by its name, and the youngest, whose name was Maren, could do nothing in \
    particular, but she listened to everyone. When the summer came in which no rain fell, the \
    brook grew thin and the wheel stood still, and the miller sat on the steps and held his head \
    in his hands.

    "Father," said the eldest, "I shall go to the town and reckon for the merchants." And she \
    went. "Father," said the second, "I shall go to the sea and whistle for the sailors." And she \
    went too. Maren stayed, and since there was no flour to sweep she walked up along the dry bed \
    of the brook to see where the water had gone.

    On the first evening she met a hare with a torn ear. "Where are you going?" asked the hare. \
    "To look for the water," said Maren. "I have not seen it," said the hare, "but my ear hurts." \
    So she bound it with a strip of her apron, and the hare ran before her and showed her the way \
    between the thorns. On the second evening she met an old heron who stood on one leg in the \
    mud. "Where are you going?" asked the heron. "To look for the water." "I have looked for it \
    longer than you," said the heron, "and I am hungry." She gave him the half of her bread, and \
    he told her of a stone door beneath the hill, which opened only to a person who asked it \
    nothing.

    On the third evening she came to the door. It was grey and tall, and before it lay the bones \
    of those who had shouted at it and the broken hammers of those who had struck it. Maren sat \
    down, for she was tired, and leaned her back against the stone. She did not ask it anything. \
    She heard the crickets, and the dry leaves, and under them, very far below, a sound like \
    someone turning over in sleep. "You are lying badly," she said. "So would I be, with so many \
    people knocking." Then the door sighed, and moved aside by the breadth of one hand, and a \
    thread of cold water ran out over her feet.

    She followed it home. By the time she reached the mill the thread had become a ribbon, and \
    the ribbon a brook, and the wheel groaned and began to turn. The eldest came back from the \
    town with a purse of silver, and the second came back from the sea with a coat of blue, and \
    they asked their sister what she had brought. "A guest," said Maren, "who does not like to be \
    asked." And every evening afterwards she sat by the water for an hour and told it what had \
    happened in the day, and as long as she lived it never failed them.
    """
}
