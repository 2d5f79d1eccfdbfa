import CKernels

/// Number format of cached keys and values.
public enum KeyValueType: String, Sendable, CaseIterable {
  case f16, f32

  var bytes: Int { self == .f16 ? 2 : 4 }
}

/// Keys and values of all layers: [layer][head][position][dimension], keys and values apart.
struct KeyValueCache {
  let type: KeyValueType
  let layerCount: Int
  let headCount: Int
  let headDimension: Int
  let contextLength: Int
  let keys: UnsafeMutableRawPointer
  let values: UnsafeMutableRawPointer

  static func bytes(
    type: KeyValueType, layerCount: Int, headCount: Int, headDimension: Int, contextLength: Int
  ) -> Int {
    2
      * half(
        type: type, layerCount: layerCount, headCount: headCount, headDimension: headDimension,
        contextLength: contextLength)
  }

  /// Bytes of the keys alone, to a cache line.
  static func half(
    type: KeyValueType, layerCount: Int, headCount: Int, headDimension: Int, contextLength: Int
  ) -> Int {
    (layerCount * headCount * headDimension * contextLength * type.bytes + 63) / 64 * 64
  }

  @inline(__always)
  private func offset(layer: Int, head: Int, position: Int) -> Int {
    (((layer * headCount + head) * contextLength) + position) * headDimension * type.bytes
  }

  /// What one query sees of one head: positions 0 ..< `positions`.
  @inline(__always)
  func span(layer: Int, head: Int, positions: Int, scale: Float) -> fm_attention_span {
    let start = offset(layer: layer, head: head, position: 0)
    return fm_attention_span(
      keys: keys + start, values: values + start,
      type: type == .f16 ? FM_CACHE_F16 : FM_CACHE_F32, head_dim: headDimension,
      positions: positions, scale: scale)
  }

  /// Stores one position's key and value of one head.
  @inline(__always)
  func store(
    key: UnsafePointer<Float>, value: UnsafePointer<Float>, layer: Int, head: Int, position: Int,
    kernels: Kernels
  ) {
    let start = offset(layer: layer, head: head, position: position)
    if type == .f16 {
      kernels.table.pointee.to_f16(
        key, headDimension, (keys + start).assumingMemoryBound(to: UInt16.self))
      kernels.table.pointee.to_f16(
        value, headDimension, (values + start).assumingMemoryBound(to: UInt16.self))
    } else {
      (keys + start).copyMemory(from: key, byteCount: headDimension * 4)
      (values + start).copyMemory(from: value, byteCount: headDimension * 4)
    }
  }
}
