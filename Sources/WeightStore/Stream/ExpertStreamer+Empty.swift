import Support

extension ExpertStreamer {
  /// Forgets every cached record and everything learned about them, as if just opened: the open
  /// request ends, reads in flight land and are dropped, checksums are checked again on next use.
  ///
  /// For benchmarks that start cold; statistics are kept.
  public func empty() {
    drain()
    let layerExperts = cache.layerExperts
    cache = ExpertCache(
      partition: cache.partition, layerExperts: layerExperts,
      policy: Self.policy(
        options, layerExperts, expertsPerToken, slotCount: cache.partition.slotCount),
      readAheadRecords: cache.readAheadFloor)
    let stride = max(store.manifest.largestStride, RecordLayout.alignment)
    governor = PrefetchGovernor(judgedBytes: 8 * stride)
    predictions = PredictionRecord(
      layerCount: layerExperts.count, rankCount: predictions.rankCount)
    watchedCount = 0
    for index in verified.indices { verified[index] = 0 }
  }
}
