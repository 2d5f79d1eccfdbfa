import Support

/// A model's chat template: read once, rendered for any number of conversations.
///
/// What it renders is what `apply_chat_template` of `transformers` renders.
public struct ChatTemplate: Sendable {
  /// The template's file, for messages.
  public let name: String
  public let source: String
  private let statements: [Statement]

  /// Longest source that is taken.
  public static let maximumSourceBytes = 4 << 20

  /// Reads a template.
  ///
  /// - Parameter name: the file's name, for error messages.
  /// - Throws: `Failure(.malformed)` naming the line of a mistake, `.unsupported` for `include` and
  ///   the like.
  public init(_ source: String, name: String) throws(Failure) {
    self.name = name
    self.source = source
    guard source.utf8.count <= Self.maximumSourceBytes else {
      throw Failure(
        .unsupported, name, "the template is larger than \(Self.maximumSourceBytes >> 20) MiB")
    }
    do throws(Lexer.Complaint) {
      var lexer = Lexer(source)
      var parser = Parser(try lexer.run())
      statements = try parser.template()
    } catch {
      throw Self.failure(error.problem, name: name, line: error.line)
    }
  }

  /// Renders a conversation.
  ///
  /// - Throws: `Failure(.mismatch)` when the template refuses the messages or they have not what
  ///   it needs, `.unsupported` when it passes a bound. The line is the one in work.
  public func render(_ input: ChatTemplateInput, limits: RenderingLimits = RenderingLimits())
    throws(Failure) -> String
  {
    let rendering = Rendering(
      limits: limits, clock: input.clock, inputBytes: input.approximateBytes)
    defer { rendering.finish() }
    do throws(Problem) {
      let scope = Scope(parent: nil)
      // Names of the template's own, such as those of macros, hide what it was given.
      for (name, value) in try rendering.variables(input) { scope.set(name, value) }
      rendering.keep(scope)
      _ = try rendering.execute(statements, scope)
      return Text(rendering.output).string
    } catch {
      throw Self.failure(error, name: name, line: rendering.line)
    }
  }

  private static func failure(_ problem: Problem, name: String, line: Int) -> Failure {
    let place = "line \(line)"
    switch problem.kind {
    case .syntax:
      return Failure(
        .malformed, name, at: place, problem.message,
        remedy: problem.remedy
          ?? "Take the template again from the model's publisher, or give another with "
          + "--chat-template")
    case .raised:
      return Failure(
        .mismatch, name, at: place, problem.message,
        remedy: "The model's template refuses these messages")
    case .undefined, .value:
      return Failure(
        .mismatch, name, at: place, problem.message,
        remedy: problem.remedy
          ?? "The template cannot work with these messages or arguments")
    case .security, .limit, .unsupported:
      return Failure(
        .unsupported, name, at: place, problem.message,
        remedy: problem.remedy ?? "Give another template with --chat-template")
    }
  }
}
