import Glibc
import Support
import TestSupport
import Testing

@Suite struct FileSystemTests {
  @Test func readsWholeFiles() throws {
    let directory = try TemporaryDirectory()
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    #expect(try FileSystem.readBytes(try directory.write(bytes, to: "a")) == bytes)
    #expect(try FileSystem.readBytes(try directory.write([], to: "b")) == [])
    #expect(try FileSystem.readText(try directory.write("é", to: "c")) == "é")
    #expect(try FileSystem.readJSON(try directory.write("[1]", to: "d")) == .array([.integer(1)]))
    _ = try FileSystem.readBytes(directory.file("a"), limitBytes: 100_000)
    #expect(
      complaint("", .malformed, ["100 KB", "at most"]) {
        _ = try FileSystem.readBytes(directory.file("a"), limitBytes: 99_999)
      } == nil)
    try directory.write([0xC3, 0x28], to: "e")
    #expect(
      complaint("", .malformed, ["UTF-8"]) { _ = try FileSystem.readText(directory.file("e")) }
        == nil)
    #expect(
      complaint("", .notFound, ["nowhere"]) { _ = try FileSystem.readBytes("/nowhere") } == nil)
    #expect(
      complaint("", .io, [directory.path]) { _ = try FileSystem.readBytes(directory.path) } == nil)
  }

  @Test func writesAtomically() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("a")
    try FileSystem.writeAtomically(Array("one".utf8), to: path)
    try FileSystem.writeAtomically(Array("two".utf8), to: path)
    #expect(try FileSystem.readText(path) == "two")
    try FileSystem.createDirectory(directory.file("d"))
    try directory.write("", to: "d/x")
    // A name that cannot be replaced: the error says so and nothing is left behind.
    #expect(
      complaint("", .io, ["cannot rename"]) {
        try FileSystem.writeAtomically([1], to: directory.file("d"))
      } == nil)
    #expect(try FileSystem.list(directory.path) == ["a", "d"])
    #expect(
      complaint("", .notFound, []) {
        try FileSystem.writeAtomically([1], to: directory.file("no/a"))
      } == nil)
  }

  @Test func createsListsAndRemoves() throws {
    let directory = try TemporaryDirectory()
    let sub = directory.file("sub")
    try FileSystem.createDirectory(sub)
    try FileSystem.createDirectory(sub)
    try directory.write("x", to: "sub/b")
    try directory.write("x", to: "sub/a")
    try directory.write("keep", to: "outside")
    symlink(directory.file("outside"), sub + "/link")
    symlink(directory.path, sub + "/loop")
    #expect(try FileSystem.list(sub) == ["a", "b", "link", "loop"])
    try FileSystem.remove(sub)
    #expect(!FileSystem.exists(sub))
    #expect(try FileSystem.readText(directory.file("outside")) == "keep")
    try FileSystem.remove(sub)
    #expect(
      complaint("", .notFound, []) { _ = try FileSystem.list(directory.file("sub")) } == nil)
    #expect(
      complaint("", .io, ["outside", "File exists"]) {
        try FileSystem.createDirectory(directory.file("outside"))
      } == nil)
    #expect(
      complaint("", .notFound, []) { try FileSystem.createDirectory(directory.file("x/y")) } == nil)
  }

  @Test func tellsDirectoriesFromFiles() throws {
    let directory = try TemporaryDirectory()
    try directory.write("", to: "f")
    #expect(FileSystem.isDirectory(directory.path) && FileSystem.exists(directory.path))
    #expect(!FileSystem.isDirectory(directory.file("f")) && FileSystem.exists(directory.file("f")))
    #expect(!FileSystem.isDirectory("/nowhere") && !FileSystem.exists("/nowhere"))
    #expect(try FileSystem.freeBytes(at: directory.path) > 0)
    #expect(complaint("", .notFound, []) { _ = try FileSystem.freeBytes(at: "/nowhere") } == nil)
  }

  @Test(arguments: [
    ("/a/b", "/a", "b"), ("/a", "/", "a"), ("a", ".", "a"), ("a/b/", "a", "b"), ("/", "/", "/"),
    ("/a/", "/", "a"), ("./x", ".", "x"), ("a//b", "a/", "b"),
  ])
  func splitsPaths(path: String, parent: String, name: String) {
    #expect(FileSystem.parent(of: path) == parent)
    #expect(FileSystem.name(of: path) == name)
  }
}
