import FlashMoE
import Glibc
import Support
import TestSupport
import Testing
import WeightStore

/// A packer killed without warning, again and again, must end with the bytes of one that was not.
@Suite struct KilledPackTests {
  @Test func killedPacksAreContinued() throws {
    let directory = try TemporaryDirectory("killed")
    let victim = try victimPath()
    let plan = try Synthesis.plan(try ModelShape.named("qwen3-tiny"), seed: 7)
    try Packer.pack(plan, to: directory.file("whole.fmoe"))
    let output = directory.file("a.fmoe")

    var kills = 0
    for attempt in 1...200 {
      var process = pid_t()
      let arguments = [strdup(victim), strdup(output), nil]
      defer { for argument in arguments { free(argument) } }
      try #require(posix_spawn(&process, victim, nil, nil, arguments, environ) == 0)
      // Later kills come later, so that the work ends; the journal carries it over.
      usleep(UInt32(8000 + attempt * 3000))
      kill(process, SIGKILL)
      var status: Int32 = 0
      waitpid(process, &status, 0)
      if status & 0x7F == SIGKILL { kills += 1 }
      if FileSystem.exists(output) { break }
    }
    // Whatever the timing was, one more call completes it.
    if !FileSystem.exists(output) { try Packer.pack(plan, to: output) }
    #expect(kills > 0)
    #expect(try Verification.verify(output).isSound)
    let (first, second) = (
      try Store(opening: output), try Store(opening: directory.file("whole.fmoe"))
    )
    #expect(first.manifest == second.manifest)
    for file in first.manifest.layers.map(\.file) + ["resident.bin", "manifest.json"] {
      #expect(
        try FileSystem.readBytes(first.filePath(file))
          == FileSystem.readBytes(second.filePath(file)))
    }
    #expect(try FileSystem.list(output) == FileSystem.list(directory.file("whole.fmoe")))
  }

  /// Test runner and victim are built into the same directory.
  private func victimPath() throws -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, 4096)
    let runner = String(
      decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let path = FileSystem.parent(of: runner) + "/pack-victim"
    try #require(FileSystem.exists(path), "\(path) was not built")
    return path
  }
}
