/// Split patterns for the pre-tokenizers that GGUF files name (`tokenizer.ggml.pre`).
///
/// A GGUF file holds only the name. The patterns are those of the publishers' tokenizer.json files
/// where they are known, else the ones llama.cpp applies under that name.
struct GGUFPatterns {
  enum Step {
    /// Every match becomes a word of its own.
    case split(String)
    case digits
    /// GPT-2's pattern.
    case gpt2
  }

  var steps: [Step]
  var composes = false
  /// A word that is a token as a whole is not merged.
  var ignoresMerges = false
  /// What `add_bos_token` is where the file does not say.
  var addsBOS = false

  private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
  private static let tail = #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let qwen2 =
    contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"# + tail
  private static let qwen35 =
    contractions + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"# + tail
  private static let llama3 =
    contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"# + tail
  private static let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
  private static let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
  private static let gpt4o =
    #"[^\r\n\p{L}\p{N}]?"# + upper + "*" + lower + "+" + contractions
    + #"?|[^\r\n\p{L}\p{N}]?"# + upper + "+" + lower + "*" + contractions
    + #"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + tail
  private static let tekken =
    #"[^\r\n\p{L}\p{N}]?"# + upper + "*" + lower + #"+|[^\r\n\p{L}\p{N}]?"# + upper + "+" + lower
    + #"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + tail
  /// Kimi's classes leave Han out; their intersections are written as lookaheads.
  private static let kimi =
    #"\p{Han}+|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})"# + upper + #")*(?:(?!\p{Han})"# + lower + ")+"
    + contractions + #"?|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})"# + upper + #")+(?:(?!\p{Han})"# + lower
    + ")*" + contractions + #"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"# + tail
  private static let bailing =
    #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"#
    + #"|\s*[\r\n]|\s+(?!\S)|\s+"#
  private static let seedCoder =
    contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+"# + tail
  private static let deepSeek3 = [
    #"\p{N}{1,3}"#, #"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+"#,
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
      + #"| ?[\p{P}\p{S}]+[\r\n]*"# + tail,
  ]
  private static let han = #"[\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+"#
  private static let letters =
    #"\s?[A-Za-z\xB5\xC0-\xD6\xD8-\xF6\xF8-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}"#
    + #"\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}"#
    + #"\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}"#
    + #"\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}"#
    + #"\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}"#
    + #"\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}"#
    + #"\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}"#
    + #"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}"#
    + #"\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}"#
    + #"\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}"#
    + #"\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}"#
    + #"\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}"#
    + #"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}"#
    + #"\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}"#
    + #"\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}"#
    + #"\x{1E900}-\x{1E943}]+"#

  /// The steps under a name, or nil for an unknown one.
  static func named(_ name: String) -> GGUFPatterns? {
    switch name {
    case "qwen2", "deepseek-r1-qwen", "hunyuan", "solar-open", "grok-2", "stablelm2", "kormo",
      "megrez":
      // The two that are not Qwen's own do not compose.
      let composes = ["qwen2", "deepseek-r1-qwen", "stablelm2"].contains(name)
      return GGUFPatterns(steps: [.split(qwen2)], composes: composes)
    case "qwen35": return GGUFPatterns(steps: [.split(qwen35)], composes: true)
    case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2":
      return GGUFPatterns(steps: [.split(llama3)], ignoresMerges: true, addsBOS: true)
    case "dbrx", "smaug-bpe", "glm4", "chatglm-bpe":
      return GGUFPatterns(steps: [.split(llama3)])
    case "gpt-4o", "llama4", "minimax-m2", "kanana2":
      return GGUFPatterns(steps: [.split(gpt4o)])
    case "tekken":
      return GGUFPatterns(steps: [.split(tekken)], ignoresMerges: true, addsBOS: true)
    case "bailingmoe", "bailingmoe2", "llada-moe": return GGUFPatterns(steps: [.split(bailing)])
    case "kimi-k2": return GGUFPatterns(steps: [.split(kimi)])
    case "seed-coder": return GGUFPatterns(steps: [.split(seedCoder)])
    case "deepseek-v3", "hunyuan-dense", "joyai-llm":
      return GGUFPatterns(steps: deepSeek3.map { .split($0) })
    case "deepseek-coder":
      return GGUFPatterns(
        steps: ["[\\r\\n]", #"\s?\p{L}+"#, #"\s?\p{P}+"#, han].map { .split($0) } + [.digits])
    case "deepseek-llm":
      let punctuation =
        #"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+"#
      return GGUFPatterns(
        steps: ["[\\r\\n]", letters, punctuation, #"\s+$"#, han].map { .split($0) } + [.digits])
    case "gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v2-code",
      "gigachat", "mpt", "olmo", "jais", "trillion", "granite-docling", "roberta-bpe", "exaone4",
      "mellum", "a.x-4.0":
      return GGUFPatterns(steps: [.gpt2])
    case "refact", "starcoder", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
      "mellum2":
      return GGUFPatterns(steps: [.digits, .gpt2])
    case "falcon":
      return GGUFPatterns(
        steps: [.split(#"[\p{P}\$\+<=>\^~\|`]+"#), .gpt2, .split("[0-9][0-9][0-9]")])
    case "default":
      return GGUFPatterns(
        steps: [
          .split(#"[\p{P}\$\+<=>\^~\|]+"#), .gpt2, .split(#"\p{N}+"#), .split("[0-9][0-9][0-9]"),
        ])
    default: return nil
    }
  }
}
