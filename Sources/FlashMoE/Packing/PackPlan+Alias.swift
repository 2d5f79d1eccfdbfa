import Support
import WeightStore

extension PackPlan {
  /// Makes all layers share a pool of records of at most `bytes`: the model's first ones.
  ///
  /// Counted through all layers, expert `n` is record `n mod pool`.  So an expert's neighbours lie
  /// beside it as they do in a layer's own file, a layer has no record twice where the pool has as
  /// many as it has experts, and between two experts with one record lie as many others as can.
  ///
  /// - Throws: `Failure(.usage)` when the pool holds no record or all of them, or when layers have
  ///   records of different layouts.
  mutating func alias(to bytes: Int) throws(Failure) {
    let total = layers.reduce(0) { $0 + $1.experts.count }
    guard let record = layers.first?.record else {
      throw Failure(.usage, "--alias", "the model has no experts")
    }
    guard layers.allSatisfy({ $0.record == record && $0.cold == nil }) else {
      throw Failure(
        .usage, "--alias", "layers have records of different layouts, which cannot share a pool",
        remedy: "Use --override for the same sections of all layers")
    }
    let count = bytes / record.stride
    guard count > 0 else {
      throw Failure(
        .usage, "--alias", "\(bytes) bytes hold no record of \(record.stride)",
        remedy: "Use \(ByteCount.format(record.stride)) or more")
    }
    guard count < total else {
      throw Failure(
        .usage, "--alias",
        "all \(total) records take \(ByteCount.format(total * record.stride)), no more than the pool",
        remedy: "Leave --alias out")
    }
    let most = layers.map(\.experts.count).max() ?? 0
    if count < most {
      warnings.append(
        "a pool of \(count) records is less than a layer's \(most): experts of one layer share "
          + "records, and a drive's own cache may make reads look faster than they are; "
          + "--alias \(most * record.stride) avoids it")
    }
    pool = Pool(record: record, records: Array(layers.lazy.flatMap(\.experts).prefix(count)))
    var next = 0
    for at in layers.indices {
      let experts = layers[at].experts.count
      layers[at].aliases = (next..<next + experts).map { $0 % count }
      layers[at].experts = []
      next += experts
    }
    name += "-aliased"
    source["alias_bytes"] = .integer(count * record.stride)
  }
}
