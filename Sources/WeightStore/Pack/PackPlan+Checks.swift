import Support

extension PackPlan {
  /// Rows longer than this are refused: a block of 16 must fit the memory bound.
  static let columnLimit = 1 << 20

  /// Checks that sources and layouts agree and that names are usable.
  ///
  /// - Throws: `Failure(.mismatch)` or `.unsupported` naming the tensor.
  func check() throws(Failure) {
    var names: Set<String> = []
    for tensor in residents {
      guard names.insert(tensor.name).inserted else {
        throw Failure(.mismatch, name, at: "tensor \(tensor.name)", "is planned twice")
      }
      try Self.check(tensor.rows, tensor.layout, "tensor \(tensor.name)")
    }
    var last = -1
    for layer in layers {
      guard layer.number > last, layer.number <= 65535 else {
        throw Failure(.mismatch, name, at: "layer \(layer.number)", "layers must ascend")
      }
      last = layer.number
      guard (1...65535).contains(layer.experts.count), !layer.record.sections.isEmpty else {
        throw Failure(.mismatch, name, at: "layer \(layer.number)", "has no experts or sections")
      }
      for (expert, sections) in layer.experts.enumerated() {
        let place = "layer \(layer.number), expert \(expert)"
        guard sections.count == layer.record.sections.count else {
          throw Failure(.mismatch, name, at: place, "has sections that its layer lacks")
        }
        for (rows, section) in zip(sections, layer.record.sections) {
          try Self.check(rows, section.layout, "\(place), \(section.name)")
        }
      }
    }
    var files: Set<String> = [Manifest.fileName, Manifest.residentFileName, "experts"]
    for companion in companions {
      guard files.insert(companion.name).inserted, !companion.name.isEmpty,
        !companion.name.contains("/"), companion.name != ".", companion.name != ".."
      else {
        throw Failure(.mismatch, name, at: "companion \(companion.name)", "cannot have this name")
      }
    }
  }

  private static func check(_ rows: Rows, _ layout: TensorLayout, _ place: String) throws(Failure) {
    for source in rows.sources {
      guard source.columns > 0, source.rows > 0,
        !source.format.isQuantized || source.columns % 32 == 0
      else {
        throw Failure(
          .mismatch, source.subject, at: "tensor \(source.name)",
          "\(source.rows) x \(source.columns) cannot be \(source.format.rawValue)")
      }
      guard source.columns <= columnLimit else {
        throw Failure(
          .unsupported, source.subject, at: "tensor \(source.name)",
          "rows of \(source.columns) columns; at most \(columnLimit) can be packed")
      }
    }
    let fits: Bool
    switch (layout, rows) {
    case (.vector(let count), .plain(let source)):
      fits = source.rows == 1 && source.columns == count
    case (.matrix(let matrix), .plain(let source)):
      fits = source.rows == matrix.rows && source.columns == matrix.columns
    case (.matrix(let matrix), .blockedPairs(let gate, let up)):
      fits =
        gate.rows == up.rows && gate.columns == matrix.columns && up.columns == matrix.columns
        && RecordLayout.pairedRows(gate.rows) == matrix.rows
    case (.vector, .blockedPairs): fits = false
    }
    guard fits else {
      let shapes = rows.sources.map { "\($0.name) [\($0.rows), \($0.columns)]" }
      throw Failure(
        .mismatch, rows.sources.first?.subject ?? "plan", at: place,
        "\(shapes.joined(separator: " and ")) do not fill its layout")
    }
  }

  /// A checksum of all that decides the store's bytes and of the source's identity.
  func fingerprint() -> Checksum {
    var text: [UInt8] = []
    func line(_ string: String) {
      text.append(contentsOf: Array(string.utf8))
      text.append(0x0A)
    }
    line("\(Manifest.formatName) \(Manifest.formatVersion) packer \(Packer.version)")
    line("search \(searchesScales)")
    line(name)
    line(config.serialized())
    line(JSONValue.object(source).serialized())
    for companion in companions { line("\(companion.name) \(Checksum(of: companion.bytes))") }
    for identity in sourceIdentity { line(identity) }
    func add(_ name: String, _ layout: TensorLayout, _ rows: Rows) {
      line("\(name) \(layout)")
      for source in rows.sources { line(source.identity) }
    }
    for tensor in residents { add(tensor.name, tensor.layout, tensor.rows) }
    for layer in layers {
      line("layer \(layer.number)")
      for sections in layer.experts {
        for (rows, section) in zip(sections, layer.record.sections) {
          add(section.name, section.layout, rows)
        }
      }
    }
    return Checksum(of: text)
  }
}
