import Support

extension Engine {
  /// Writes the context to a file: its tokens, and what every layer keeps of them.
  ///
  /// The file is written straight from the engine's memory, so it costs no memory beyond the budget,
  /// and appears under its name only when it is complete.
  ///
  /// - Returns: how many tokens the context has.
  /// - Throws: `Failure(.io)` or `.noSpace` naming the file.
  @discardableResult
  public func saveState(to path: String) throws(Failure) -> Int {
    try withCore { core throws(Failure) in
      try StateFile(core, fingerprint: self.stateFingerprint(core)).write(to: path)
      return core.context.count
    }
  }

  /// Puts a context that was saved back: what is generated next has the bits it would have had then.
  ///
  /// A prompt that begins with these tokens continues from them.
  ///
  /// - Returns: the context's tokens.
  /// - Throws: `Failure(.mismatch)` for a state of another model or other key/value settings,
  ///   `.corrupt` for a damaged file, `.budget` for a longer context than the engine's.  The context
  ///   is empty then.
  @discardableResult
  public func restoreState(from path: String) throws(Failure) -> [Int32] {
    try withCore { core throws(Failure) in
      try StateFile(core, fingerprint: self.stateFingerprint(core)).read(from: path)
      return core.context
    }
  }

  /// Tells states apart that mean different things: the weights, the formats, rings and rotations.
  private func stateFingerprint(_ core: EngineCore) -> String {
    var text = "\(store.manifest.fingerprint) \(core.plan.keyValueType.rawValue)"
    text += " \(core.kernelName) \(activations.rawValue)"
    for layer in core.decoder.state.layers { text += " \(layer.kind.form)" }
    for rope in configuration.rotations {
      let context = core.plan.contextLength
      text += " \(rope.attentionFactor(contextLength: context).bitPattern)"
      text += " \(rope.inverseFrequencies(contextLength: context).map(\.bitPattern))"
    }
    return text
  }
}
