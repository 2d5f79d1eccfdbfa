extension ReadScheduler {
  /// How a slot's read ended.
  enum Outcome {
    case landed
    /// It was cancelled and its last piece has come back.
    case abandoned
    /// An errno, or 0 for a file that ends too early.
    case failed(code: Int32, offset: Int)
  }

  struct SlotRead {
    var layer = 0
    var expert = 0
    var offset = 0
    var bytes = 0
    /// Where the part that can be used before the rest ends; pieces do not straddle it.
    var headBytes = 0
    var issuedBytes = 0
    var outstandingPieces = 0
    var outstandingHeadPieces = 0
    var origin = Origin.demand
    var isDemand = false
    var isActive = false
    var isAbandoned = false
    var hasFailed = false
    var errorCode: Int32 = 0
    var errorOffset = 0
  }

  struct Piece {
    var slot = 0
    /// Inside the record.
    var offset = 0
    var bytes = 0
    var isHead = false
    var retries = 0
  }
}
