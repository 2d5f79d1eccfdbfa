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
      guard (1...Manifest.expertLimit).contains(layer.expertCount), !layer.record.sections.isEmpty
      else {
        throw Failure(.mismatch, name, at: "layer \(layer.number)", "has no experts or sections")
      }
      try check(layer)
    }
    if let pool {
      guard (1...Manifest.poolLimit).contains(pool.records.count) else {
        throw Failure(.mismatch, name, at: "pool", "has \(pool.records.count) records")
      }
      try check(pool.records, pool.record, "pool, record")
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

  private func check(_ layer: Layer) throws(Failure) {
    let place = "layer \(layer.number)"
    guard (layer.aliases == nil) == (pool == nil), layer.aliases == nil || layer.experts.isEmpty
    else {
      throw Failure(.mismatch, name, at: place, "is aliased where others are not")
    }
    if let pool, let aliases = layer.aliases {
      guard layer.record == pool.record, aliases.allSatisfy(pool.records.indices.contains) else {
        throw Failure(.mismatch, name, at: place, "is not made of the pool's records")
      }
    }
    if let cold = layer.cold {
      guard layer.aliases == nil, cold.isCold.count == layer.experts.count,
        cold.isCold.contains(true), cold.record.sections.count == layer.record.sections.count,
        zip(cold.record.sections, layer.record.sections).allSatisfy({ $0.hasShape(of: $1) })
      else {
        throw Failure(.mismatch, name, at: place, "has cold records that do not fit its others")
      }
    }
    try check(layer.experts, layer.record, place + ", expert", cold: layer.cold)
  }

  private func check(
    _ records: [[Rows]], _ hot: RecordLayout, _ kind: String,
    cold: (record: RecordLayout, isCold: [Bool])? = nil
  ) throws(Failure) {
    for (at, sections) in records.enumerated() {
      var record = hot
      if let cold, cold.isCold[at] { record = cold.record }
      guard sections.count == record.sections.count else {
        throw Failure(
          .mismatch, name, at: "\(kind) \(at)", "has other sections than its layout")
      }
      for (rows, section) in zip(sections, record.sections) {
        try Self.check(rows, section.layout, "\(kind) \(at), \(section.name)")
      }
    }
  }

  private static func check(_ rows: Rows, _ layout: TensorLayout, _ place: String) throws(Failure) {
    for source in rows.sources {
      guard source.columns > 0, source.rows > 0,
        source.columns % source.format.blockColumns == 0
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
    func add(_ records: [[Rows]], _ record: RecordLayout) {
      for sections in records {
        for (rows, section) in zip(sections, record.sections) {
          add(section.name, section.layout, rows)
        }
      }
    }
    for tensor in residents { add(tensor.name, tensor.layout, tensor.rows) }
    for layer in layers {
      line("layer \(layer.number)")
      if let aliases = layer.aliases { line("aliases \(aliases)") }
      if let cold = layer.cold {
        line("cold \(cold.record.sections.map(\.layout)) \(cold.isCold)")
      }
      add(layer.experts, layer.record)
    }
    if let pool {
      line("pool")
      add(pool.records, pool.record)
    }
    return Checksum(of: text)
  }
}
