import Support

extension Manifest {
  /// Tells two sets of weights apart: a hash of the configuration and all checksums.
  ///
  /// Traces and profiles carry it, because routing is a property of the weights.  Names of files,
  /// tokenizers and other companions do not enter.
  public var fingerprint: Checksum {
    var bytes = Array(config.serialized(pretty: false).utf8)
    func add(_ value: UInt64) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    for tensor in residents {
      bytes.append(contentsOf: tensor.name.utf8)
      add(tensor.checksum.value)
    }
    for layer in layers {
      add(UInt64(layer.layer))
      for checksum in layer.checksums { add(checksum.value) }
    }
    return Checksum(of: bytes)
  }
}
