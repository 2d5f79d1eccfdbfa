import CKernels
import Support
import WeightStore

/// Reads single numbers out of a packed store.
struct StoreContents {
  let store: Store

  init(_ path: String) throws { store = try Store(opening: path) }

  func scheme(_ resident: String) -> Scheme? {
    guard
      case .matrix(let matrix) = store.manifest.residents.first(where: { $0.name == resident })?
        .layout
    else { return nil }
    return matrix.scheme
  }

  func sectionScheme(_ section: String, layer: Int = 0) -> Scheme? {
    guard case .matrix(let matrix) = store.manifest.layers[layer].record.section(section)?.layout
    else { return nil }
    return matrix.scheme
  }

  /// A resident matrix or vector, row after row.
  func resident(_ name: String) throws -> [Float]? {
    guard let tensor = store.manifest.residents.first(where: { $0.name == name }) else {
      return nil
    }
    return try values(
      store.filePath(Manifest.residentFileName), tensor.offset, tensor.layout)
  }

  /// A section of one record, row after row.
  func section(_ name: String, layer: Int = 0, expert: Int) throws -> [Float]? {
    let entry = store.manifest.layers[layer]
    guard let section = entry.record(ofExpert: expert).section(name) else { return nil }
    return try values(
      store.filePath(entry.file), entry.offset(ofExpert: expert) + section.offset, section.layout)
  }

  private func values(_ path: String, _ offset: Int, _ layout: TensorLayout) throws -> [Float] {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: layout.bytes, alignment: 64)
    defer { memory.deallocate() }
    try File(path, .read).read(into: memory, at: offset)
    switch layout {
    case .vector: return Array(memory.bindMemory(to: Float.self))
    case .matrix(let matrix):
      var kernel = fm_matrix(
        data: memory.baseAddress?.assumingMemoryBound(to: UInt8.self), rows: UInt32(matrix.rows),
        columns: UInt32(matrix.columns), scheme: matrix.scheme.kernelScheme)
      var result: [Float] = []
      var row = [Float](repeating: 0, count: matrix.columns)
      for at in 0..<matrix.rows {
        fm_unpack_row(&kernel, at, &row)
        result += row
      }
      return result
    }
  }
}
