import Support

/// Where test data lies.
public enum Fixtures {
  /// The package's root directory, found from this file's own place in it.
  public static let packageRoot = FileSystem.parent(
    of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))

  /// A file or directory under `Tests/Fixtures`, which is part of the repository.
  public static func path(_ name: String) -> String { packageRoot + "/Tests/Fixtures/" + name }

  /// Data that is not part of the repository, in `shared` beside the package; nil, and a line that
  /// says so, where it is absent.
  public static func shared(_ name: String) -> String? {
    let path = FileSystem.parent(of: packageRoot) + "/shared/" + name
    if FileSystem.exists(path) { return path }
    print("not tested: \(path) is not there")
    return nil
  }
}
