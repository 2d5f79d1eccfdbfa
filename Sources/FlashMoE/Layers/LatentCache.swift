import CKernels

/// One layer's compressed cache: a latent vector and a rotated key a position, for all heads.
///
/// Positions from the decoder's length on are dead, as in `KeyValueCache`.
struct LatentCache {
  let type: KeyValueType
  let rank: Int
  let rotatedDimension: Int
  let contextLength: Int
  let data: UnsafeMutableRawPointer

  static func width(_ attention: ModelConfiguration.LatentAttention) -> Int {
    fm_latent_width(attention.rank, attention.rotatedDimension)
  }

  /// Bytes of sixteen positions.
  static func blockBytes(_ attention: ModelConfiguration.LatentAttention, type: KeyValueType)
    -> Int
  {
    fm_cache_block_bytes(type.kernelType, width(attention))
  }

  init(
    _ attention: ModelConfiguration.LatentAttention, type: KeyValueType, contextLength: Int,
    cutter: inout ArenaCutter
  ) {
    self.type = type
    self.contextLength = contextLength
    rank = attention.rank
    rotatedDimension = attention.rotatedDimension
    let unit = KeyValueCache.blockPositions
    data = UnsafeMutableRawPointer(
      cutter.take(
        UInt8.self,
        count: (contextLength + unit - 1) / unit * Self.blockBytes(attention, type: type)))
  }

  var kernel: fm_latent_cache {
    fm_latent_cache(data: data, type: type.kernelType, latent: rank, rope: rotatedDimension)
  }
}

extension LatentCache: LayerStateKind {
  func canCutBack(to count: Int, end: Int) -> Bool { true }

  func byteRanges(count: Int) -> [UnsafeMutableRawBufferPointer] {
    let unit = KeyValueCache.blockPositions
    let bytes = fm_cache_block_bytes(type.kernelType, fm_latent_width(rank, rotatedDimension))
    return [UnsafeMutableRawBufferPointer(start: data, count: (count + unit - 1) / unit * bytes)]
  }
}
