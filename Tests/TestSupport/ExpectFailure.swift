import Support

/// Runs `body` and says what is wrong unless it throws a `Failure` of this kind whose text holds
/// every piece; nil when all is well.  Use as `#expect(complaint(…) == nil)`.
public func complaint(
  _ label: String = "", _ kind: Failure.Kind? = nil, _ pieces: [String], _ body: () throws -> Void
) -> String? {
  do {
    try body()
    return "\(label): accepted"
  } catch let failure as Failure {
    if let kind, failure.kind != kind {
      return "\(label): \(failure.kind) instead of \(kind): \(failure)"
    }
    let missing = pieces.filter { !failure.description.contains($0) }
    return missing.isEmpty ? nil : "\(label): \(missing) not in: \(failure)"
  } catch {
    return "\(label): unexpected \(error)"
  }
}
