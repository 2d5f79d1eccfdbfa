/// Variables of a loop round, macro call or block, and the scope around it.
final class Scope: Breakable {
  private let parent: Scope?
  private var values: [String: Value] = [:]
  private var isKept = false

  init(parent: Scope?) { self.parent = parent }

  /// The innermost value of a name.
  func lookup(_ name: String) -> Value? {
    var scope: Scope? = self
    while let here = scope {
      if let value = here.values[name] { return value }
      scope = here.parent
    }
    return nil
  }

  func set(_ name: String, _ value: Value) { values[name] = value }

  func breakReferences() { values = [:] }

  /// A macro holds on to this scope, which may hold the macro.
  func keep(_ rendering: Rendering) {
    guard !isKept else { return }
    isKept = true
    rendering.keep(self)
  }
}
