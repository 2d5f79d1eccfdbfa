extension PackPlan {
  /// The manifest of the store this plan makes, with checksums of nothing: for planning memory
  /// before there are bytes.
  public var outline: Manifest {
    let placement = ResidentPlacement(self)
    let none = Checksum(value: 0)
    return Manifest(
      name: name, config: config, residentBytes: placement.fileBytes,
      residents: zip(residents, placement.offsets).map { tensor, offset in
        Manifest.ResidentTensor(
          name: tensor.name, layout: tensor.layout, offset: offset, checksum: none)
      },
      layers: layers.map {
        Manifest.Layer(
          layer: $0.number, record: $0.record,
          checksums: Array(repeating: none, count: $0.expertCount))
      },
      companions: companions.map {
        Manifest.Companion(name: $0.name, bytes: $0.bytes.count, checksum: none)
      },
      source: .object(source))
  }
}
