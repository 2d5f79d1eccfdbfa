import Support

/// Typed access to the members of a manifest, with errors that name the member.
struct ManifestReader {
  let subject: String

  func failure(_ place: String, _ problem: String) -> Failure {
    Failure(
      .malformed, subject, at: place, problem, remedy: "The store is damaged: pack it again")
  }

  func object(_ value: JSONValue?, at place: String) throws(Failure) -> JSONObject {
    guard let object = value?.object else { throw failure(place, "must be an object") }
    return object
  }

  func array(_ value: JSONValue?, at place: String) throws(Failure) -> [JSONValue] {
    guard let array = value?.array else { throw failure(place, "must be an array") }
    return array
  }

  func string(_ value: JSONValue, _ key: String, at place: String? = nil) throws(Failure) -> String
  {
    guard let string = value[key]?.string else {
      throw failure(place ?? key, "must be a string")
    }
    return string
  }

  func integer(
    _ value: JSONValue, _ key: String, in range: ClosedRange<Int>, at place: String? = nil
  ) throws(Failure) -> Int {
    guard let integer = value[key]?.integer, range.contains(integer) else {
      throw failure(
        place ?? key, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  func checksum(_ value: JSONValue?, at place: String) throws(Failure) -> Checksum {
    guard let text = value?.string, let checksum = Checksum(hexadecimal: text) else {
      throw failure(place, "must be 16 hexadecimal digits")
    }
    return checksum
  }

  func layout(_ value: JSONValue, at place: String) throws(Failure) -> TensorLayout {
    if value["count"] != nil {
      return .vector(
        count: try integer(
          value, "count", in: 1...MatrixLayout.dimensionLimit, at: place + ".count"))
    }
    let limit = 1...MatrixLayout.dimensionLimit
    let rows = try integer(value, "rows", in: limit, at: place + ".rows")
    let columns = try integer(value, "columns", in: limit, at: place + ".columns")
    let name = try string(value, "scheme", at: place + ".scheme")
    guard let scheme = Scheme(rawValue: name) else {
      throw failure(place + ".scheme", "unknown scheme \"\(name)\"")
    }
    return .matrix(MatrixLayout(rows: rows, columns: columns, scheme: scheme))
  }

  func residents(_ value: JSONValue?, fileBytes: Int) throws(Failure) -> [Manifest.ResidentTensor] {
    var tensors: [Manifest.ResidentTensor] = []
    var names: Set<String> = []
    var end = 0
    for (at, entry) in try array(value, at: "resident.tensors").enumerated() {
      let place = "resident.tensors[\(at)]"
      let name = try string(entry, "name", at: place + ".name")
      guard names.insert(name).inserted else { throw failure(place, "\(name) stands twice") }
      let layout = try layout(entry, at: place)
      let offset = try integer(entry, "offset", in: 0...fileBytes, at: place + ".offset")
      guard offset % 64 == 0, offset >= end, layout.bytes <= fileBytes - offset else {
        throw failure(place, "\(name) overlaps its neighbour or leaves the file")
      }
      end = offset + layout.bytes
      tensors.append(
        Manifest.ResidentTensor(
          name: name, layout: layout, offset: offset,
          checksum: try checksum(entry["checksum"], at: place + ".checksum")))
    }
    return tensors
  }

  func layers(_ value: JSONValue?, pool: Manifest.Pool?) throws(Failure) -> [Manifest.Layer] {
    var layers: [Manifest.Layer] = []
    for (at, entry) in try array(value, at: "layers").enumerated() {
      let place = "layers[\(at)]"
      let number = try integer(entry, "layer", in: 0...65535, at: place + ".layer")
      if let last = layers.last, last.layer >= number {
        throw failure(place, "layers must stand in ascending order")
      }
      if let pool {
        let records = try records(entry, of: pool, at: place)
        layers.append(Manifest.Layer(layer: number, records: records, of: pool))
        continue
      }
      let record = try record(entry, at: place)
      var layer = Manifest.Layer(
        layer: number, record: record,
        checksums: try checksums(entry, limit: Manifest.expertLimit, at: place))
      layer.cold = try cold(entry, hot: record, expertCount: layer.expertCount, at: place)
      layers.append(layer)
    }
    return layers
  }

  /// The layout of records: sections, their offsets and the stride.
  func record(_ entry: JSONValue, at place: String) throws(Failure) -> RecordLayout {
    var tensors: [(name: String, layout: TensorLayout)] = []
    let sections = try array(entry["sections"], at: place + ".sections")
    for (index, section) in sections.enumerated() {
      let where_ = "\(place).sections[\(index)]"
      tensors.append(
        (try string(section, "name", at: where_ + ".name"), try layout(section, at: where_)))
    }
    let record = RecordLayout(tensors)
    for (index, section) in record.sections.enumerated() {
      guard sections[index]["offset"]?.integer == section.offset else {
        throw failure("\(place).sections[\(index)].offset", "must be \(section.offset)")
      }
    }
    guard !tensors.isEmpty, entry["stride"]?.integer == record.stride,
      record.stride <= 1 << 34
    else { throw failure(place + ".stride", "must be \(record.stride)") }
    return record
  }

  /// The checksums of 1 to `limit` records.
  func checksums(_ entry: JSONValue, limit: Int, at place: String) throws(Failure) -> [Checksum] {
    var checksums: [Checksum] = []
    for (index, text) in try array(entry["checksums"], at: place + ".checksums").enumerated() {
      checksums.append(try checksum(text, at: "\(place).checksums[\(index)]"))
    }
    guard (1...limit).contains(checksums.count) else {
      throw failure(place + ".checksums", "must name 1 to \(limit) experts")
    }
    return checksums
  }

  func companions(_ value: JSONValue?) throws(Failure) -> [Manifest.Companion] {
    var companions: [Manifest.Companion] = []
    for (at, entry) in try array(value, at: "companions").enumerated() {
      let place = "companions[\(at)]"
      let name = try string(entry, "name", at: place + ".name")
      guard !name.isEmpty, !name.contains("/"), name != ".", name != "..", !name.contains("\0")
      else { throw failure(place + ".name", "must be a plain file name") }
      companions.append(
        Manifest.Companion(
          name: name,
          bytes: try integer(entry, "bytes", in: 0...(1 << 32), at: place + ".bytes"),
          checksum: try checksum(entry["checksum"], at: place + ".checksum")))
    }
    return companions
  }
}
