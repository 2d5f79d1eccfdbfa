extension ReadScheduler {
  /// The fault a test planned for this completion, as the system would have shown it.
  mutating func injected(_ piece: Int, _ result: Int) -> Int {
    let slot = pieces[piece].slot
    guard let effect = faults.effect(layer: reads[slot].layer, expert: reads[slot].expert) else {
      return result
    }
    switch effect {
    case .error(let code): return -Int(code)
    case .short(let bytes):
      let shown = min(bytes, max(result, 0))
      // What did not arrive must not look as if it had.
      let rest = UnsafeMutableRawBufferPointer(
        start: arena.slot(slot) + pieces[piece].offset + shown, count: pieces[piece].bytes - shown)
      for index in rest.indices { rest[index] = 0xA5 }
      return shown
    case .flippedBit(let byte, let bit):
      let place = arena.slot(slot) + pieces[piece].offset + byte
      place.storeBytes(of: place.load(as: UInt8.self) ^ (1 << UInt8(bit)), as: UInt8.self)
      return result
    }
  }
}
