import CKernels
import Glibc
import Support
import Testing
import WeightStore

@testable import NPUExec

/// An expert with known weights, packed in f32 so that packing loses nothing.
private struct SmallExpert {
  let hidden: Int
  let inner: Int
  let gate: [[Float]]
  let up: [[Float]]
  let down: [[Float]]
  let record: UnsafeMutableRawPointer
  let geometry: ExpertGeometry

  init(hidden: Int, inner: Int, seed: UInt64) throws {
    var state = seed
    func value() -> Float {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }
    func matrix(_ rows: Int, _ columns: Int) -> [[Float]] {
      (0..<rows).map { _ in (0..<columns).map { _ in value() } }
    }
    self.hidden = hidden
    self.inner = inner
    gate = matrix(inner, hidden)
    up = matrix(inner, hidden)
    down = matrix(hidden, inner)
    let layout = RecordLayout.swiglu(hidden: hidden, inner: inner, scheme: .f32, downScheme: .f32)
    record = .allocate(byteCount: layout.stride, alignment: 64)
    record.initializeMemory(as: UInt8.self, repeating: 0, count: layout.stride)
    geometry = try #require(ExpertGeometry(layout))
    let zeros = [Float](repeating: 0, count: hidden)
    for block in 0..<(inner + 15) / 16 {
      for (half, rows) in [gate, up].enumerated() {
        let block16 = (0..<16).map { block * 16 + $0 < inner ? rows[block * 16 + $0] : zeros }
        pack(block16, at: record + (2 * block + half) * geometry.gateUp.blockBytes)
      }
    }
    for block in 0..<(hidden + 15) / 16 {
      let rows = Array(down[(block * 16)..<min(hidden, block * 16 + 16)])
      pack(rows, at: record + geometry.downOffset + block * geometry.down.blockBytes)
    }
  }

  private func pack(_ rows: [[Float]], at block: UnsafeMutableRawPointer) {
    let columns = rows[0].count
    _ = fm_pack_block(FM_F32, rows.flatMap { $0 }, columns, rows.count, columns, false, block)
  }

  func expected(_ x: [Float]) -> [Double] {
    func dot(_ row: [Float]) -> Double {
      zip(row, x).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    let h = (0..<inner).map { unit in
      let g = dot(gate[unit])
      return g / (1 + exp(-g)) * dot(up[unit])
    }
    return (0..<hidden).map { row in
      zip(down[row], h).reduce(0) { $0 + Double($1.0) * $1.1 }
    }
  }
}

@Suite struct ReferenceBackendTests {
  @Test(arguments: [(8, 4), (33, 17), (64, 48), (5, 16)])
  func computesSwiGLU(shape: (Int, Int)) throws {
    let expert = try SmallExpert(hidden: shape.0, inner: shape.1, seed: 7)
    defer { expert.record.deallocate() }
    let backend = ReferenceBackend()
    let prepared = try backend.prepare(
      TilePlan(geometry: expert.geometry, tierRows: 16, groupSize: 2))
    let rows = 3
    let input = (0..<rows * shape.0).map { Float(($0 * 37) % 19) / 19 - 0.5 }
    // One row more than asked for: a backend must not write past its rows.
    var output = [Float](repeating: -77, count: (rows + 1) * shape.0)
    try input.withUnsafeBufferPointer { x in
      try output.withUnsafeMutableBufferPointer { y in
        let tile = Tile(
          record: expert.record, input: try #require(x.baseAddress),
          output: try #require(y.baseAddress), rows: rows)
        try backend.wait(try backend.submit([tile], to: prepared))
      }
    }
    for row in 0..<rows {
      let want = expert.expected(Array(input[row * shape.0..<(row + 1) * shape.0]))
      for column in 0..<shape.0 {
        let got = Double(output[row * shape.0 + column])
        #expect(abs(got - want[column]) <= 1e-5 * max(1, abs(want[column])))
      }
    }
    #expect(output[(rows * shape.0)...].allSatisfy { $0 == -77 })
  }

  @Test func refusesWhatDoesNotFitThePlan() throws {
    let expert = try SmallExpert(hidden: 8, inner: 4, seed: 1)
    defer { expert.record.deallocate() }
    let backend = ReferenceBackend()
    #expect(throws: Failure.self) {
      _ = try backend.prepare(TilePlan(geometry: expert.geometry, tierRows: 17, groupSize: 1))
    }
    #expect(throws: Failure.self) {
      _ = try backend.prepare(TilePlan(geometry: expert.geometry, tierRows: 16, groupSize: 0))
    }
    let prepared = try backend.prepare(
      TilePlan(geometry: expert.geometry, tierRows: 16, groupSize: 1))
    let buffer = UnsafeMutablePointer<Float>.allocate(capacity: 8 * 32)
    defer { buffer.deallocate() }
    for rows in [0, 17] {
      let tile = Tile(record: expert.record, input: buffer, output: buffer, rows: rows)
      #expect(throws: Failure.self) { _ = try backend.submit([tile], to: prepared) }
    }
    #expect(throws: Failure.self) { _ = try backend.submit([], to: prepared) }
  }

  @Test func geometryRefusesMatricesThatDoNotFit() {
    let mismatched = RecordLayout([
      ("gate_up", .matrix(MatrixLayout(rows: 64, columns: 32, scheme: .q4))),
      ("down", .matrix(MatrixLayout(rows: 48, columns: 32, scheme: .q4))),
    ])
    #expect(ExpertGeometry(mismatched) == nil)
    #expect(ExpertGeometry(RecordLayout([("down", .vector(count: 4))])) == nil)
  }
}
