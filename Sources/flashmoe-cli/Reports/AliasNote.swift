import Support
import WeightStore

/// The word that no output about an aliased store may leave out.
enum AliasNote {
  /// A line for people, or nothing.
  static func tell(_ manifest: Manifest) {
    if let note = manifest.aliasNote { Output.message(Style.warning("note:") + " " + note) }
  }

  /// A line beside results on stdout, or nothing.
  static func print(_ manifest: Manifest, indent: String = "  ") {
    if let note = manifest.aliasNote { Output.print(indent + note) }
  }
}

extension JSONObject {
  /// Adds `aliased`, in words, for stores that are.
  mutating func note(_ aliasNote: String?) {
    if let aliasNote { self["aliased"] = .string(aliasNote) }
  }
}
