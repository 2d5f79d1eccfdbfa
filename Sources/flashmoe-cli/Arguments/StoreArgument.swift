import ArgumentParser
import FlashMoE
import Glibc
import Hub
import Support
import WeightStore

/// A store given by path, or the demo model that ships with FlashMoE.
struct StoreArgument: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "A store: a path (NAME.fmoe) or a name that 'list' shows. Without it: the demo model that"
        + " ships with FlashMoE.",
      valueName: "store"),
    completion: .directory)
  var store: String?

  func path() throws(Failure) -> String {
    guard let store else { return try DemoStore.path() }
    if FileSystem.exists(store) { return store }
    // Without a place for models there are no names, and the path is what is wrong.
    guard let library = try? ModelLibrary.standard() else { return store }
    return try library.store(named: store) ?? store
  }

  func open() throws(Failure) -> Store { try Store(opening: try path()) }
}

/// Where the demo model's store lies.
enum DemoStore {
  static let variable = "FLASHMOE_DEMO_STORE"

  /// `$FLASHMOE_DEMO_STORE`; else `Models/demo.fmoe` in a directory above the executable (a
  /// checkout); else `share/flashmoe/demo.fmoe` beside its `bin` (an installation).
  static func path() throws(Failure) -> String {
    if let value = getenv(variable), value.pointee != 0 { return String(cString: value) }
    let executable = try executablePath()
    var directory = FileSystem.parent(of: executable)
    let installed = FileSystem.parent(of: directory) + "/share/flashmoe/demo.fmoe"
    while true {
      let candidate = (directory == "/" ? "" : directory) + "/Models/demo.fmoe"
      if FileSystem.isDirectory(candidate) { return candidate }
      guard directory != "/" else { break }
      directory = FileSystem.parent(of: directory)
    }
    if FileSystem.isDirectory(installed) { return installed }
    throw Failure(
      .notFound, "demo model",
      "no Models/demo.fmoe above \(executable), and no \(installed)",
      remedy: "Name a store on the command line, or set \(variable)")
  }

  private static func executablePath() throws(Failure) -> String {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = buffer.withUnsafeMutableBytes { bytes in
      bytes.withMemoryRebound(to: CChar.self) { text in
        text.baseAddress.map { readlink("/proc/self/exe", $0, text.count) } ?? -1
      }
    }
    guard count > 0 else { throw Failure.system("/proc/self/exe", "cannot read the link", errno) }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }
}
