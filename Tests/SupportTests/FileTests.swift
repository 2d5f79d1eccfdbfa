import Glibc
import Support
import TestSupport
import Testing

@Suite struct FileTests {
  private static func read(_ file: borrowing File, _ count: Int, at offset: Int) throws -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
    defer { buffer.deallocate() }
    try file.read(into: buffer, at: offset)
    return Array(buffer)
  }

  @Test func writesAndReadsAtOffsets() throws {
    let directory = try TemporaryDirectory()
    let file = try File(directory.file("a"), .createNew)
    let bytes: [UInt8] = Array(0..<100)
    try bytes.withUnsafeBytes { try file.write($0, at: 50) }
    #expect(try file.size() == 150)
    #expect(try Self.read(file, 3, at: 60) == [10, 11, 12])
    #expect(try Self.read(file, 2, at: 49) == [0, 0])
    #expect(try Self.read(file, 0, at: 9999) == [])
    try file.synchronize()
    file.dropCache()
    try file.truncate(to: 52)
    #expect(try Self.read(file, 2, at: 50) == [0, 1])
  }

  @Test func aShortFileIsAnErrorThatNamesTheOffset() throws {
    let directory = try TemporaryDirectory()
    let file = try File(try directory.write([1, 2, 3], to: "a"), .read)
    #expect(
      complaint("", .io, [directory.file("a"), "offset 3", "4 bytes too early", "truncated"]) {
        _ = try Self.read(file, 6, at: 1)
      } == nil)
    #expect(complaint("", .io, ["too early"]) { _ = try Self.read(file, 1, at: 3) } == nil)
    #expect(complaint("", .io, ["offset -1"]) { _ = try Self.read(file, 1, at: -1) } == nil)
  }

  @Test func modesMeanWhatTheySay() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a")
    #expect(complaint("", .notFound, [path, "Check"]) { _ = try File(path, .read) } == nil)
    #expect(complaint("", .notFound, [path]) { _ = try File(path, .readDirect) } == nil)
    try directory.write([1, 2, 3], to: "a")
    #expect(complaint("", .io, [path]) { _ = try File(path, .createNew) } == nil)
    #expect(try File(path, .update).size() == 3)
    let reader = try File(path, .read)
    #expect(
      complaint("", .io, ["cannot write"]) {
        try [UInt8(0)].withUnsafeBytes { try reader.write($0, at: 0) }
      } == nil)
    #expect(complaint("", .io, ["cannot set its size"]) { try reader.truncate(to: 1) } == nil)
    #expect(try File(path, .truncate).size() == 0)
  }

  @Test func readsADirectoryAsAnError() throws {
    let directory = try TemporaryDirectory()
    let file = try File(directory.path, .read)
    #expect(complaint("", .io, [directory.path]) { _ = try Self.read(file, 1, at: 0) } == nil)
  }

  @Test func aFullDiskIsNoSpace() throws {
    let full = try File("/dev/full", .update)
    #expect(
      complaint("", .noSpace, ["/dev/full", "Free some disk space"]) {
        try [UInt8(0)].withUnsafeBytes { try full.write($0, at: 0) }
      } == nil)
  }

  @Test func closesItsDescriptor() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write([1], to: "a")
    // Far more than a process may have open at once.
    for _ in 0..<5000 { _ = try File(path, .read).size() }
  }

  @Test func namesTheSystemsReason() {
    #expect(
      Failure.system("f", "cannot x", EACCES).description
        == "f: cannot x: Permission denied. Check the permissions")
    #expect(Failure.system("f", "cannot x", EDQUOT).kind == .noSpace)
    #expect(Failure.system("f", "cannot x", EIO).kind == .io)
    let whole = Failure(.corrupt, "f", at: "tensor t", "bad", remedy: "Do it")
    #expect(whole.description == "f, tensor t: bad. Do it")
  }
}
