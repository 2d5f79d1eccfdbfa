import CXXHash

/// XXH3-64 of some bytes.  It guards against rot and truncation, not against an attacker.
public struct Checksum: Sendable, Equatable, CustomStringConvertible {
  public let value: UInt64

  public init(value: UInt64) { self.value = value }

  public init(of bytes: UnsafeRawBufferPointer) {
    value = XXH3_64bits(bytes.baseAddress, bytes.count)
  }

  public init(of bytes: [UInt8]) {
    value = bytes.withUnsafeBytes { XXH3_64bits($0.baseAddress, $0.count) }
  }

  /// Reads the sixteen hexadecimal digits that `description` prints.
  public init?(hexadecimal: String) {
    guard hexadecimal.utf8.count == 16, let value = UInt64(hexadecimal, radix: 16) else {
      return nil
    }
    self.value = value
  }

  public var description: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
