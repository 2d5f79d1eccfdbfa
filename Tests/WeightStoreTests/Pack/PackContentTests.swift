import CKernels
import Support
import TestSupport
import Testing

@testable import WeightStore

@Suite struct PackContentTests {
  /// What the rows of a stored matrix must be, in stored order: sources are read element by
  /// element, and padding rows of blocked pairs are zero.
  private func expected(_ rows: PackPlan.Rows) throws -> [[Float]] {
    func row(_ source: any RowSource, _ at: Int) throws -> [Float] {
      let memory = try #require(source as? MemoryRows)
      guard at < memory.rows else { return [Float](repeating: 0, count: memory.columns) }
      return (0..<memory.columns).map { memory.value(at, $0) }
    }
    switch rows {
    case .plain(let source): return try (0..<source.rows).map { try row(source, $0) }
    case .blockedPairs(let gate, let up):
      var result: [[Float]] = []
      for block in 0..<(gate.rows + 15) / 16 {
        for source in [gate, up] {
          for at in 0..<16 { result.append(try row(source, block * 16 + at)) }
        }
      }
      return result
    }
  }

  @Test(arguments: [
    (SourceFormat.f32, Scheme.f32), (.f16, .f16), (.bf16, .bf16), (.bf16, .f32), (.f16, .f32),
    (.q4_0, .q4), (.q8_0, .q8), (.q4_0, .q8), (.q4_0, .f32), (.q8_0, .f32), (.mxfp4, .mxfp4),
    (.mxfp4, .f32), (.affine4, .q4a), (.affine4, .f32), (.affine4Wide, .f32),
  ])
  func losslessSchemesKeepEveryNumber(format: SourceFormat, scheme: Scheme) throws {
    let directory = try TemporaryDirectory("pack")
    let output = directory.file("a.fmoe")
    let plan = PackFixtures.plan(
      scheme: scheme, down: scheme, resident: scheme, format: format,
      inner: format.blockColumns == 64 ? 128 : 96)
    let result = try Packer.pack(plan, to: output)
    for error in result.errors {
      #expect(error.relativeSquaredError == 0)
      #expect(error.exactWeights == error.weights)
    }
    let store = try Store(opening: output)
    let resident = try FileSystem.readBytes(output + "/resident.bin")
    for (tensor, planned) in zip(store.manifest.residents, plan.residents) {
      #expect(tensor.name == planned.name)
      let bytes = resident[tensor.offset..<tensor.offset + tensor.layout.bytes]
      let wanted = try expected(planned.rows)
      switch tensor.layout {
      case .matrix(let matrix): #expect(PackFixtures.unpack(bytes, matrix) == wanted)
      case .vector(let count):
        let values = (0..<count).map { at in
          Float(
            bitPattern: (0..<4).reduce(0) {
              $0 | UInt32(bytes[bytes.startIndex + at * 4 + $1]) << (8 * $1)
            })
        }
        #expect([values] == wanted)
      }
    }
    for (layer, planned) in zip(store.manifest.layers, plan.layers) {
      let file = try FileSystem.readBytes(store.filePath(layer.file))
      for expert in 0..<layer.expertCount {
        let offset = layer.offset(ofExpert: expert)
        #expect(offset % 4096 == 0)
        for (section, rows) in zip(layer.record.sections, planned.experts[expert]) {
          guard case .matrix(let matrix) = section.layout else { continue }
          let bytes = file[offset + section.offset..<offset + section.offset + matrix.bytes]
          #expect(PackFixtures.unpack(bytes, matrix) == (try expected(rows)))
        }
        #expect(
          file[offset + layer.record.bytes..<offset + layer.record.stride].allSatisfy { $0 == 0 })
      }
    }
  }

  /// Rows of every format that is read, through the packer as f32.
  @Test(arguments: SourceFormat.allCases)
  func everyFormatIsUnpacked(format: SourceFormat) throws {
    let directory = try TemporaryDirectory("pack")
    var plan = PackFixtures.plan()
    let source = MemoryRows("rows", 37, 512, format, seed: 12)
    plan.residents[0].rows = .plain(source)
    plan.residents[0].layout = .matrix(MatrixLayout(rows: 37, columns: 512, scheme: .f32))
    _ = try Packer.pack(plan, to: directory.file("a.fmoe"))
    let resident = try FileSystem.readBytes(directory.file("a.fmoe") + "/resident.bin")
    let layout = MatrixLayout(rows: 37, columns: 512, scheme: .f32)
    let stored = PackFixtures.unpack(resident[0..<layout.bytes], layout)
    for row in 0..<37 {
      var expected = (0..<512).map { format.rowFormat == nil ? source.value(row, $0) : 0 }
      if let kind = format.rowFormat {
        let start = row * format.rowBytes(columns: 512)
        let bytes = Array(source.bytes[start..<start + format.rowBytes(columns: 512)])
        fm_unpack_format(kind, bytes, 512, &expected)
      }
      #expect(stored[row] == expected)
    }
  }

  /// Codes are kept where only scale and bias must be rounded, and the report says what that costs.
  @Test func wideScalesAreAllThatIsRounded() throws {
    let directory = try TemporaryDirectory("pack")
    var plan = PackFixtures.plan()
    let source = MemoryRows("rows", 37, 128, .affine4Wide, seed: 12)
    let layout = MatrixLayout(rows: 37, columns: 128, scheme: .q4a)
    plan.residents[0].rows = .plain(source)
    plan.residents[0].layout = .matrix(layout)
    plan.residents[0].tensorClass = "attention"
    let result = try Packer.pack(plan, to: directory.file("a.fmoe"))
    let resident = try FileSystem.readBytes(directory.file("a.fmoe") + "/resident.bin")
    let stored = PackFixtures.unpack(resident[0..<layout.bytes], layout)
    var (error, squares, greatest) = (0.0, 0.0, 0.0)
    for row in 0..<37 {
      for column in 0..<128 {
        let value = Double(source.value(row, column))
        let difference = abs(Double(stored[row][column]) - value)
        error += difference * difference
        squares += value * value
        greatest = max(greatest, difference)
      }
    }
    #expect(error > 0 && error / squares < 1e-5)
    let line = try #require(result.classes.first { $0.tensorClass == "attention" })
    #expect(line.formats == [.affine4Wide] && line.scheme == .q4a && !line.isExact)
    #expect(line.weights == 37 * 128)
    #expect(abs(line.relativeError / (error / squares).squareRoot() - 1) < 1e-4)
    let scale = (squares / Double(37 * 128)).squareRoot()
    #expect(abs(line.greatestError / (greatest / scale) - 1) < 1e-4)
    let experts = result.classes.filter { $0.tensorClass.hasPrefix("experts") }
    #expect(experts.map(\.tensorClass) == ["experts gate_up", "experts down"])
    #expect(experts.allSatisfy { $0.relativeError > 0 && $0.greatestError > $0.relativeError })
  }

  /// The report must be what an independent comparison of source and store gives.
  @Test(arguments: [
    (SourceFormat.f32, Scheme.q4), (.bf16, .q8), (.f16, .q4a), (.q8_0, .q4), (.f32, .bf16),
    (.f32, .f16), (.f32, .mxfp4), (.bf16, .q3), (.f32, .q2),
  ])
  func quantizationErrorIsMeasured(format: SourceFormat, scheme: Scheme) throws {
    let directory = try TemporaryDirectory("pack")
    var plan = PackFixtures.plan(
      scheme: scheme, down: scheme, resident: .f32, format: format, inner: 96)
    var reported: [Double] = []
    for search in [true, false] {
      plan.searchesScales = search
      let output = directory.file("\(search).fmoe")
      let result = try Packer.pack(plan, to: output)
      let store = try Store(opening: output)
      var (error, squares) = (0.0, 0.0)
      for (layer, planned) in zip(store.manifest.layers, plan.layers) {
        let file = try FileSystem.readBytes(store.filePath(layer.file))
        for expert in 0..<layer.expertCount {
          let offset = layer.offset(ofExpert: expert)
          for (section, rows) in zip(layer.record.sections, planned.experts[expert]) {
            guard case .matrix(let matrix) = section.layout else { continue }
            let bytes = file[offset + section.offset..<offset + section.offset + matrix.bytes]
            for (got, wanted) in zip(PackFixtures.unpack(bytes, matrix), try expected(rows)) {
              for (a, b) in zip(got, wanted) {
                error += Double(a - b) * Double(a - b)
                squares += Double(b) * Double(b)
              }
            }
          }
        }
      }
      let row = try #require(result.errors.first { $0.part == .experts })
      #expect(row.scheme == scheme && row.exactWeights == 0)
      #expect(row.weights == 2 * 3 * 3 * 64 * 96)
      #expect(abs(row.relativeSquaredError / (error / squares) - 1) < 0.002)
      reported.append(row.relativeSquaredError)
      let json = store.manifest.source["quantization"]?.array?.compactMap {
        $0["relative_squared_error"]?.double
      }
      #expect(json == result.errors.map(\.relativeSquaredError))
    }
    // Searching never does worse than plain rounding.
    #expect(reported[0] <= reported[1] * 1.0001)
    // Uniform numbers from -2 to 2 at 4 bits: a step of 4/15 gives about 0.0044.
    if scheme == .q4 || scheme == .q4a { #expect((0.0005..<0.02).contains(reported[0])) }
  }

  @Test func manifestDescribesWhatWasPacked() throws {
    let directory = try TemporaryDirectory("pack")
    let plan = PackFixtures.plan()
    let output = directory.file("a.fmoe")
    let result = try Packer.pack(plan, to: output + "/")
    #expect(result.path == output)
    #expect(try FileSystem.list(directory.path) == ["a.fmoe"])
    #expect(
      try PackFixtures.contents(output).keys.sorted() == [
        "experts/layer-01.bin", "experts/layer-02.bin", "manifest.json", "resident.bin",
        "tokenizer.json",
      ])
    let store = try Store(opening: output)
    #expect(store.manifest.name == "fixture" && store.manifest.config == plan.config)
    #expect(store.manifest.layers.map(\.layer) == [1, 2])
    #expect(try store.companion("tokenizer.json") == plan.companions[0].bytes)
    #expect(store.manifest.residentBytes % 4096 == 0)
    #expect(
      plan.storeBytes == store.manifest.residentBytes + store.manifest.expertBytes
        + plan.companions[0].bytes.count)
  }

  @Test func valuesThatAreNotFiniteAreNamed() throws {
    let directory = try TemporaryDirectory("pack")
    for (format, bad) in [
      (SourceFormat.f32, [UInt8]([0, 0, 0xC0, 0x7F])), (.bf16, [0x80, 0xFF]), (.f16, [0, 0x7C]),
      (.q8_0, [0, 0xFC]), (.q4_0, [1, 0x7E]), (.mxfp4, [255]), (.affine4, [0, 0, 0xC0, 0x7F]),
      (.affine4Wide, [0, 0, 0, 0, 0, 0, 0x80, 0xFF]),
    ] {
      for scheme in [format.matchingScheme, .q8] {
        var plan = PackFixtures.plan(format: format, inner: 128)
        var source = MemoryRows("poisoned", 50, 64, format, seed: 3)
        source.firstRow = 100
        let at = 37 * format.rowBytes(columns: 64)
        source.bytes.replaceSubrange(at..<at + bad.count, with: bad)
        plan.residents[0].rows = .plain(source)
        plan.residents[0].layout = .matrix(MatrixLayout(rows: 50, columns: 64, scheme: scheme))
        let failure = #expect(throws: Failure.self) {
          try Packer.pack(plan, to: directory.file("\(format)-\(scheme).fmoe"))
        }
        #expect(failure?.kind == .malformed)
        #expect(failure?.place == "tensor poisoned, row 137")
      }
    }
  }

  @Test func valuesTooLargeForASchemeAreRefused() throws {
    let directory = try TemporaryDirectory("pack")
    var plan = PackFixtures.plan()
    var source = MemoryRows("huge", 50, 64, .f32, seed: 3)
    withUnsafeBytes(of: Float(1e9)) { source.bytes.replaceSubrange(0..<4, with: Array($0)) }
    plan.residents[0].rows = .plain(source)
    plan.residents[0].layout = .matrix(MatrixLayout(rows: 50, columns: 64, scheme: .f16))
    let failure = #expect(throws: Failure.self) {
      try Packer.pack(plan, to: directory.file("a.fmoe"))
    }
    #expect(failure?.kind == .unsupported)
    #expect(failure?.place?.contains("huge") == true)
  }

  @Test func plansThatDoNotFitThemselvesAreRefused() throws {
    let directory = try TemporaryDirectory("pack")
    func refused(_ change: (inout PackPlan) -> Void) throws {
      var plan = PackFixtures.plan()
      change(&plan)
      let failure = #expect(throws: Failure.self) {
        try Packer.pack(plan, to: directory.file("a.fmoe"))
      }
      #expect(failure?.kind == .mismatch)
      #expect(try FileSystem.list(directory.path) == [])
    }
    try refused { $0.residents.append($0.residents[0]) }
    try refused { $0.residents[0].layout = .vector(count: 64) }
    try refused {
      $0.residents[0].layout = .matrix(MatrixLayout(rows: 49, columns: 64, scheme: .q8))
    }
    try refused { $0.layers[1].number = 1 }
    try refused { $0.layers[0].experts[1].removeLast() }
    try refused { $0.layers[0].experts[1].swapAt(0, 1) }
    try refused { $0.companions[0].name = "../x" }
    try refused { $0.companions[0].name = "manifest.json" }
  }
}
