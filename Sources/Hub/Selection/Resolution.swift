import Support

/// What a name on the command line means: one commit of a repository and the files wanted of it.
public struct Resolution: Sendable {
  public var reference: ModelReference
  public var snapshot: Snapshot
  public var selection: Selection
}

extension HubClient {
  /// Asks the hub what `reference` means.
  ///
  /// A tag that is a GGUF quantization of the repository is that; otherwise it is a revision.
  public func resolve(_ reference: ModelReference, revision: String? = nil) async throws(Failure)
    -> Resolution
  {
    if let revision { try ModelReference.checkRevision(revision, in: revision) }
    let repository = reference.repository
    let snapshot = try await snapshot(of: repository, revision: revision ?? "main")
    let selection: Selection
    if let tag = reference.tag {
      let gguf = GGUFFiles(snapshot)
      if let model = try gguf.model(tag, of: snapshot) {
        selection = try GGUFFiles.selection(model, of: snapshot)
      } else if revision != nil {
        throw Self.unknown(tag, gguf, snapshot)
      } else {
        let other: Snapshot
        do throws(Failure) { other = try await self.snapshot(of: repository, revision: tag) } catch
        {
          throw error.kind == .notFound ? Self.unknown(tag, gguf, snapshot) : error
        }
        return try await completed(reference, other, try await select(other))
      }
    } else {
      selection = try await select(snapshot)
    }
    return try await completed(reference, snapshot, selection)
  }

  private static func unknown(_ tag: String, _ gguf: GGUFFiles, _ snapshot: Snapshot) -> Failure {
    Failure(
      .notFound, "\(snapshot.repository):\(tag)",
      gguf.models.isEmpty
        ? "the repository has no such revision, and no GGUF files"
        : "the repository has neither such a quantization nor such a revision",
      remedy: gguf.models.isEmpty
        ? "Give a branch, a tag or a commit of it, or nothing for main"
        : "There is: \(gguf.list)")
  }

  private func select(_ snapshot: Snapshot) async throws(Failure) -> Selection {
    guard Selection.hasSafetensors(snapshot) else {
      let gguf = GGUFFiles(snapshot)
      return try GGUFFiles.selection(try gguf.only(of: snapshot), of: snapshot)
    }
    var index: JSONValue?
    if !snapshot.files.contains(where: { $0.path == Selection.single }) {
      let address = address(of: Selection.index, in: snapshot)
      let (bytes, _) = try await document(
        address, about: subject(Selection.index, in: snapshot), limitBytes: 1 << 28)
      index = try JSONValue.parse(bytes, subject: address.shown)
    }
    return try Selection.safetensors(snapshot, index: index)
  }

  /// The same with all sizes and checksums known.
  private func completed(
    _ reference: ModelReference, _ snapshot: Snapshot, _ selection: Selection
  ) async throws(Failure) -> Resolution {
    var complete = selection
    for at in complete.files.indices {
      complete.files[at] = try await completed(complete.files[at], in: snapshot)
    }
    return Resolution(reference: reference, snapshot: snapshot, selection: complete)
  }
}
