import CPCRE2
import Support

/// A compiled pattern of tokenizer.json. Immutable, so that threads can share it.
final class RegularExpression: @unchecked Sendable {
  private let code: OpaquePointer
  /// Machine code could be made; where the system forbids it the interpreter gives the same result.
  private let isCompiled: Bool
  private let place: String
  private let subject: String

  private static let maximumPatternBytes = 1 << 16

  init(_ pattern: String, at configuration: Configuration) throws(Failure) {
    let translated = try PatternTranslation.translate(pattern) { configuration.unsupported($0) }
    guard translated.utf8.count <= Self.maximumPatternBytes else {
      throw configuration.unsupported("a pattern of more than \(Self.maximumPatternBytes) bytes")
    }
    guard let context = pcre2_compile_context_create_8(nil) else {
      throw configuration.unsupported("no memory for a pattern")
    }
    defer { pcre2_compile_context_free_8(context) }
    pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
    // Oniguruma's `^` and `$` are those of lines.
    let options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C
    var status: Int32 = 0
    var offset = 0
    let compiled = Array(translated.utf8).withUnsafeBufferPointer {
      pcre2_compile_8($0.baseAddress, $0.count, options, &status, &offset, context)
    }
    guard let compiled else {
      throw configuration.malformed(
        "the pattern does not compile: \(Self.message(status)) (in \"\(pattern.prefix(120))\")")
    }
    code = compiled
    isCompiled = pcre2_jit_compile_8(compiled, PCRE2_JIT_COMPLETE) == 0
    place = configuration.place
    subject = configuration.subject
  }

  deinit { pcre2_code_free_8(code) }

  private static func message(_ status: Int32) -> String {
    var text = [UInt8](repeating: 0, count: 256)
    let length = pcre2_get_error_message_8(status, &text, text.count)
    return length > 0 ? String(decoding: text.prefix(Int(length)), as: UTF8.self) : "\(status)"
  }

  /// Work areas of one thread; cheap, made once for each text.
  final class Workspace {
    fileprivate let context: OpaquePointer?
    fileprivate let match: OpaquePointer?
    private let stack: OpaquePointer?

    // Steps at one start position: far above what a split pattern needs on any text, low enough
    // that catastrophic backtracking ends within a second.
    private static let matchLimit: UInt32 = 10_000_000
    private static let heapLimitKiB: UInt32 = 64 * 1024

    init() {
      context = pcre2_match_context_create_8(nil)
      match = pcre2_match_data_create_8(1, nil)
      stack = pcre2_jit_stack_create_8(32 * 1024, 4 * 1024 * 1024, nil)
      pcre2_set_match_limit_8(context, Self.matchLimit)
      pcre2_set_heap_limit_8(context, Self.heapLimitKiB)
      if let stack { pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack)) }
    }

    deinit {
      pcre2_match_data_free_8(match)
      pcre2_match_context_free_8(context)
      pcre2_jit_stack_free_8(stack)
    }
  }

  /// Calls `body` with the bounds of every match in `text`, which must be valid UTF-8, from left
  /// to right. An empty match right behind the previous one does not count, as in Oniguruma's
  /// iterator.
  ///
  /// - Throws: `Failure(.unsupported)` when a match needs too many steps.
  func forEachMatch(
    in text: UnsafeBufferPointer<UInt8>, _ workspace: Workspace,
    _ body: (_ start: Int, _ end: Int) -> Void
  ) throws(Failure) {
    guard let match = workspace.match, let context = workspace.context else {
      throw Failure(.unsupported, subject, at: place, "no memory for matching a pattern")
    }
    let bounds = pcre2_get_ovector_pointer_8(match)
    var from = 0
    var lastEnd = -1
    while from <= text.count {
      var status = pcre2_match_8(
        code, text.baseAddress, text.count, from, PCRE2_NO_UTF_CHECK, match, context)
      if status == PCRE2_ERROR_JIT_STACKLIMIT {
        status = pcre2_match_8(
          code, text.baseAddress, text.count, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match,
          context)
      }
      if status == PCRE2_ERROR_NOMATCH { return }
      guard status >= 0, let bounds else {
        throw Failure(
          .unsupported, subject, at: place,
          "the pattern gives up on this text: \(Self.message(status))",
          remedy: "It backtracks without end; use the publisher's own tokenizer.json")
      }
      let start = bounds[0]
      let end = bounds[1]
      if start == end, start == lastEnd {
        from += from < text.count ? ScalarReader.length(text[from]) : 1
        continue
      }
      from = end
      lastEnd = end
      body(start, end)
    }
  }
}
