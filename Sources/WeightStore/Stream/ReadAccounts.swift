import Support

/// What was read for whom, and for how long the disk had something to do.
struct ReadAccounts: Sendable {
  /// Why a record is read.
  enum Origin: Sendable {
    case demand, speculation, warmFill
  }

  private(set) var demandBytes = 0
  private(set) var speculativeBytes = 0
  private(set) var warmBytes = 0
  var completedReads = 0

  private(set) var activeReads = 0
  private var busySince: UInt64 = 0
  private var busyTotal: UInt64 = 0
  private var activeDemands = 0
  private var demandSince: UInt64 = 0
  private var demandBusyTotal: UInt64 = 0

  mutating func add(_ bytes: Int, to origin: Origin) {
    switch origin {
    case .demand: demandBytes += bytes
    case .speculation: speculativeBytes += bytes
    case .warmFill: warmBytes += bytes
    }
  }

  mutating func readBegan() {
    if activeReads == 0 { busySince = Clock.nanoseconds() }
    activeReads += 1
  }

  mutating func readEnded() {
    activeReads -= 1
    if activeReads == 0 { busyTotal += Clock.nanoseconds() - busySince }
  }

  mutating func demandBegan() {
    if activeDemands == 0 { demandSince = Clock.nanoseconds() }
    activeDemands += 1
  }

  mutating func demandEnded() {
    activeDemands -= 1
    if activeDemands == 0 { demandBusyTotal += Clock.nanoseconds() - demandSince }
  }

  /// Nanoseconds since the last reset in which at least one read of any kind was in flight.
  func busyNanoseconds(at now: UInt64) -> UInt64 {
    busyTotal + (activeReads > 0 ? now - busySince : 0)
  }

  /// Nanoseconds in which at least one demand read was outstanding.
  func demandBusyNanoseconds(at now: UInt64) -> UInt64 {
    demandBusyTotal + (activeDemands > 0 ? now - demandSince : 0)
  }

  /// Counts from zero; reads in flight stay.  Demand's time goes on: its owner takes differences.
  mutating func reset() {
    demandBytes = 0
    speculativeBytes = 0
    warmBytes = 0
    completedReads = 0
    busyTotal = 0
    busySince = Clock.nanoseconds()
  }
}
