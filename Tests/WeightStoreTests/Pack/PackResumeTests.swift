import Glibc
import Support
import Synchronization
import TestSupport
import Testing

@testable import WeightStore

@Suite struct PackResumeTests {
  private let stop = Failure(.cancelled, "test", "stopped here")

  private func options(threads: Int = 1, unitBytes: Int = 2048) -> PackOptions {
    var options = PackOptions(threadCount: threads)
    options.unitBytes = unitBytes
    return options
  }

  @Test func bytesDependOnNothingButThePlan() throws {
    let directory = try TemporaryDirectory("pack")
    let plan = PackFixtures.plan()
    var first: [String: [UInt8]]?
    for threads in [1, 2, 5] {
      for unitBytes in [1, 3000, 1 << 20] {
        let output = directory.file("\(threads)-\(unitBytes).fmoe")
        try Packer.pack(plan, to: output, options: options(threads: threads, unitBytes: unitBytes))
        let contents = try PackFixtures.contents(output)
        if let first { #expect(contents == first) } else { first = contents }
      }
    }
    #expect(try Verification.verify(directory.file("1-1.fmoe")).isSound)
  }

  @Test func aPackStoppedAtAnyUnitIsContinued() throws {
    let directory = try TemporaryDirectory("pack")
    let plan = PackFixtures.plan()
    try Packer.pack(plan, to: directory.file("whole.fmoe"), options: options())
    let whole = try PackFixtures.contents(directory.file("whole.fmoe"))
    let count = PackUnits(plan, unitBytes: 2048).units.count
    #expect(count > 12)
    for last in 0..<count {
      let output = directory.file("\(last).fmoe")
      var interrupted = options(threads: 1 + last % 2)
      interrupted.afterUnit = { [stop] at throws(Failure) in if at == last { throw stop } }
      let failure = #expect(throws: Failure.self) {
        try Packer.pack(plan, to: output, options: interrupted)
      }
      #expect(failure?.kind == .cancelled)
      #expect(failure?.remedy?.contains("\(last).fmoe.partial") == true)
      #expect(!FileSystem.exists(output))

      let redone = Mutex<[Int]>([])
      var resumed = options(threads: 1 + last % 3)
      resumed.afterUnit = { at throws(Failure) in redone.withLock { $0.append(at) } }
      let result = try Packer.pack(plan, to: output, options: resumed)
      #expect(try PackFixtures.contents(output) == whole)
      // With one thread all units up to the last one were done, and none of them again.
      if last % 2 == 0 { #expect(redone.withLock { $0.sorted() } == Array(last + 1..<count)) }
      #expect(result.resumedSourceBytes > 0)
    }
    #expect(try FileSystem.list(directory.path).allSatisfy { !$0.hasSuffix(".partial") })
  }

  /// Leaves an unfinished pack behind that has done `units` units.
  private func interrupt(_ plan: PackPlan, _ output: String, after units: Int) {
    var interrupted = options()
    interrupted.afterUnit = { [stop] at throws(Failure) in if at == units - 1 { throw stop } }
    #expect(throws: Failure.self) { try Packer.pack(plan, to: output, options: interrupted) }
  }

  @Test func damagedJournalsAndFilesCostWorkAndNothingElse() throws {
    let directory = try TemporaryDirectory("pack")
    let plan = PackFixtures.plan()
    try Packer.pack(plan, to: directory.file("whole.fmoe"), options: options())
    let whole = try PackFixtures.contents(directory.file("whole.fmoe"))
    let output = directory.file("a.fmoe")
    let partial = output + ".partial"

    func damage(_ file: String, _ change: (inout [UInt8]) -> Void) throws {
      interrupt(plan, output, after: 9)
      var bytes = try FileSystem.readBytes(partial + "/" + file)
      change(&bytes)
      try directory.write(bytes, to: "a.fmoe.partial/" + file)
      try Packer.pack(plan, to: output, options: options())
      #expect(try PackFixtures.contents(output) == whole)
      try FileSystem.remove(output)
    }
    interrupt(plan, output, after: 9)
    let journalBytes = try FileSystem.readBytes(partial + "/journal").count
    try FileSystem.remove(partial)
    for at in stride(from: 0, to: journalBytes, by: 37) {
      try damage("journal") { $0[at] ^= 4 }
      try damage("journal") { $0.removeLast($0.count - at) }
    }
    try damage("journal") { $0 = [] }
    try damage("journal") { $0 += Array("5 0123456789abcdef".utf8) }
    try damage("store/resident.bin") { $0[100] ^= 1 }
    try damage("store/resident.bin") { $0.removeLast(4000) }
    try damage("store/experts/layer-01.bin") { $0[5] ^= 1 }
    try damage("store/experts/layer-02.bin") { $0 = [] }
    try damage("store/experts/layer-02.bin") { $0 += [1, 2, 3] }
  }

  @Test func unfinishedWorkOfAnotherPlanIsNotMixedIn() throws {
    let directory = try TemporaryDirectory("pack")
    let output = directory.file("a.fmoe")
    interrupt(PackFixtures.plan(), output, after: 4)
    for other in [PackFixtures.plan(seed: 2), PackFixtures.plan(scheme: .q4a)] {
      let failure = #expect(throws: Failure.self) { try Packer.pack(other, to: output) }
      #expect(failure?.kind == .mismatch)
      #expect(failure?.subject == output + ".partial")
      #expect(failure?.description.contains("\"fixture\"") == true)
    }
    // The refusals harmed nothing: the first plan still goes on.
    let other = PackFixtures.plan(scheme: .q4a)
    try Packer.pack(other, to: directory.file("other.fmoe"))
    var options = self.options()
    options.discardsPartial = true
    let result = try Packer.pack(other, to: output, options: options)
    #expect(result.resumedSourceBytes == 0)
    #expect(
      try PackFixtures.contents(output) == PackFixtures.contents(directory.file("other.fmoe")))
  }

  /// A packer killed between naming its store and tidying up leaves a journal that means nothing.
  @Test func leftoversOfAFinishedPackAreNoUnfinishedWork() throws {
    let directory = try TemporaryDirectory("pack")
    let output = directory.file("a.fmoe")
    interrupt(PackFixtures.plan(), output, after: 4)
    let journal = try FileSystem.readBytes(output + ".partial/journal")
    try Packer.pack(PackFixtures.plan(), to: output, options: options())
    try FileSystem.createDirectory(output + ".partial")
    try directory.write(journal, to: "a.fmoe.partial/journal")
    try Packer.pack(
      PackFixtures.plan(seed: 2), to: output, options: PackOptions(overwrites: true))
    #expect(try FileSystem.list(directory.path) == ["a.fmoe"])
    #expect(try Verification.verify(output).isSound)
  }

  @Test func twoPackersDoNotShareAnOutput() throws {
    let directory = try TemporaryDirectory("pack")
    let output = directory.file("a.fmoe")
    let plan = PackFixtures.plan()
    let second = Mutex<Failure?>(nil)
    var options = self.options()
    options.afterUnit = { at throws(Failure) in
      guard at == 2 else { return }
      do throws(Failure) { try Packer.pack(plan, to: output) } catch {
        second.withLock { $0 = error }
      }
    }
    try Packer.pack(plan, to: output, options: options)
    let failure = try #require(second.withLock { $0 })
    #expect(failure.subject == output + ".partial")
    #expect(failure.problem.contains("another process is packing"))
    #expect(try Verification.verify(output).isSound)
  }

  @Test func existingOutputsAreReplacedOnlyOnRequest() throws {
    let directory = try TemporaryDirectory("pack")
    let output = directory.file("a.fmoe")
    try Packer.pack(PackFixtures.plan(), to: output)
    let before = try PackFixtures.contents(output)
    let failure = #expect(throws: Failure.self) {
      try Packer.pack(PackFixtures.plan(seed: 2), to: output)
    }
    #expect(failure?.kind == .usage)
    #expect(try PackFixtures.contents(output) == before)
    var options = PackOptions(overwrites: true)
    try Packer.pack(PackFixtures.plan(seed: 2), to: output, options: options)
    #expect(try PackFixtures.contents(output)["resident.bin"] != before["resident.bin"])
    #expect(try FileSystem.list(directory.path) == ["a.fmoe"])
    // What is not a store is not replaced even then.
    try FileSystem.createDirectory(directory.file("home"))
    try directory.write("precious", to: "home/letter.txt")
    options.overwrites = true
    #expect(throws: Failure.self) {
      try Packer.pack(PackFixtures.plan(), to: directory.file("home"), options: options)
    }
    #expect(try FileSystem.list(directory.file("home")) == ["letter.txt"])
    #expect(throws: Failure.self) {
      try Packer.pack(PackFixtures.plan(), to: directory.file("nowhere/a.fmoe"))
    }
  }

  @Test func tooLittleSpaceIsToldBeforeAnyWork() throws {
    let directory = try TemporaryDirectory("pack")
    let plan = PackFixtures.plan(onRead: { () throws(Failure) in
      throw Failure(.io, "test", "must not be read")
    })
    var options = self.options()
    options.freeBytes = { _ throws(Failure) in plan.storeBytes }
    let failure = #expect(throws: Failure.self) {
      try Packer.pack(plan, to: directory.file("a.fmoe"), options: options)
    }
    #expect(failure?.kind == .noSpace)
    #expect(failure?.problem.contains(ByteCount.format(plan.storeBytes) + " are free") == true)
    #expect(try FileSystem.list(directory.path) == [])
  }

  @Test func aDiskThatFillsUpLosesNothing() throws {
    let directory = try TemporaryDirectory("pack")
    let plan = PackFixtures.plan()
    let output = directory.file("a.fmoe")
    var options = self.options()
    options.beforeWrite = { at, path throws(Failure) in
      if at == 7 { throw Failure.system(path, "cannot write", ENOSPC) }
    }
    let failure = #expect(throws: Failure.self) {
      try Packer.pack(plan, to: output, options: options)
    }
    #expect(failure?.kind == .noSpace)
    #expect(failure?.remedy?.contains("kept in \(output).partial") == true)
    let result = try Packer.pack(plan, to: output, options: self.options())
    #expect(result.resumedSourceBytes > 0)
    try Packer.pack(plan, to: directory.file("whole.fmoe"))
    #expect(
      try PackFixtures.contents(output) == PackFixtures.contents(directory.file("whole.fmoe")))
  }

  /// The same with a file system that really is full, where tests may mount one.
  @Test func aFullFileSystemIsToldAsSuch() throws {
    let directory = try TemporaryDirectory("full")
    guard mount("tmpfs", directory.path, "tmpfs", 0, "size=64k") == 0 else {
      print("not tested: this user may not mount a small file system")
      return
    }
    defer { umount2(directory.path, 0) }
    let output = directory.file("a.fmoe")
    var options = self.options(threads: 2)
    options.freeBytes = { _ throws(Failure) in Int.max }
    let failure = #expect(throws: Failure.self) {
      try Packer.pack(PackFixtures.plan(experts: 20), to: output, options: options)
    }
    #expect(failure?.kind == .noSpace)
    #expect(FileSystem.exists(output + ".partial/journal") && !FileSystem.exists(output))
  }

  @Test func cancellingKeepsTheWork() throws {
    let directory = try TemporaryDirectory("pack")
    let output = directory.file("a.fmoe")
    let asked = Atomic<Int>(0)
    var options = PackOptions(
      threadCount: 1,
      isCancelled: { asked.wrappingAdd(1, ordering: .relaxed).newValue > 5 })
    options.unitBytes = 2048
    let failure = #expect(throws: Failure.self) {
      try Packer.pack(PackFixtures.plan(), to: output, options: options)
    }
    #expect(failure?.kind == .cancelled)
    let reports = Mutex<[PackProgress]>([])
    let result = try Packer.pack(
      PackFixtures.plan(), to: output, options: self.options(),
      progress: { progress in reports.withLock { $0.append(progress) } })
    let last = try #require(reports.withLock { $0.last })
    #expect(result.resumedSourceBytes > 0 && result.resumedSourceBytes < result.sourceBytes)
    #expect(last.sourceBytes == last.totalSourceBytes && last.storeBytes == last.totalStoreBytes)
    #expect(last.sourceBytes == result.sourceBytes && last.secondsLeft == 0)
  }
}
