import Support

/// Source files that come while a pack is running, and go when no unit needs them any more.
///
/// With a supply the packer takes units in the order in which their files come.  Every unit's place
/// and bytes stay the same, and so does the store.
public protocol SourceSupply: Sendable {
  /// Paths as in `RowSource.files`, in the order in which they come.
  var order: [String] { get }
  /// Called once, before anything else: the files that unfinished units need.
  func begin(_ needed: Set<String>) throws(Failure)
  /// Returns when the file is there; throws when it will not come.
  func wait(for file: String) throws(Failure)
  /// All units for which the first `count` files of `order` suffice are done.
  func passed(_ count: Int)
  /// No unit needs the file any more; all units made from it are in the journal.
  func release(_ file: String)
  /// The pack failed or was interrupted: whoever waits has to give up.
  func stop()
}
