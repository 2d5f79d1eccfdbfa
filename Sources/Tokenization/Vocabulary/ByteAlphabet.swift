/// GPT-2's spelling of bytes as printable characters: a byte that is a visible Latin-1 character
/// stands for itself, the others follow from U+0100 on.
enum ByteAlphabet {
  /// Code point for each byte.
  static let codes: [UInt16] = {
    var codes = [UInt16](repeating: 0, count: 256)
    var next: UInt16 = 0x100
    for byte in 0..<256 {
      if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE {
        codes[byte] = UInt16(byte)
      } else {
        codes[byte] = next
        next += 1
      }
    }
    return codes
  }()

  /// Byte for each code point below U+0144, or −1.
  static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, code) in codes.enumerated() { bytes[Int(code)] = Int16(byte) }
    return bytes
  }()

  static func spell(_ bytes: UnsafeBufferPointer<UInt8>, into spelled: inout [UInt8]) {
    for byte in bytes { ScalarReader.append(UInt32(codes[Int(byte)]), to: &spelled) }
  }

  /// Appends the bytes a token stands for. A token with any character outside of the alphabet
  /// stands for its own UTF-8, as in the `tokenizers` library.
  static func read(_ token: UnsafeBufferPointer<UInt8>, into result: inout [UInt8]) {
    let start = result.count
    var reader = ScalarReader(token, at: 0)
    while let code = reader.next() {
      guard code < bytes.count, bytes[Int(code)] >= 0 else {
        result.removeSubrange(start...)
        result.append(contentsOf: token)
        return
      }
      result.append(UInt8(bytes[Int(code)]))
    }
  }
}
