import Support
import Synchronization

/// The order in which units are taken, and what they wait for.
///
/// Without a supply that is the plan's order.  With one, items are sorted by the last of their files
/// to come: an item's units stay together, since its checksum needs their bytes in order, and whoever
/// waits for a file waits for nothing that stands later.
final class PackSchedule: Sendable {
  /// Unit numbers.
  let order: [Int]
  private let supply: (any SourceSupply)?
  /// The files of each unit; empty without a supply.
  private let files: [[String]]
  /// For each unit, how many files of the supply have to be there.
  private let stages: [Int]
  private let open: Mutex<Open>

  private struct Open {
    /// Unfinished units by file, and by stage.
    var byFile: [String: Int] = [:]
    var byStage: [Int]
    /// The first stage with unfinished units; what needs no file (stage 0) holds nothing up.
    var firstOpen = 1

    /// Moves on over finished stages; returns how many files are behind us, if that changed.
    mutating func advance() -> Int? {
      let before = firstOpen
      while firstOpen < byStage.count, byStage[firstOpen] == 0 { firstOpen += 1 }
      return firstOpen > before ? firstOpen - 1 : nil
    }
  }

  /// - Parameter finished: units whose bytes were read back and are right.
  init(_ units: PackUnits, supply: (any SourceSupply)?, finished: Set<Int>) throws(Failure) {
    self.supply = supply
    guard let supply else {
      order = Array(units.units.indices)
      files = []
      stages = []
      open = Mutex(Open(byStage: []))
      return
    }
    var ranks: [String: Int] = [:]
    for (at, file) in supply.order.enumerated() { ranks[file] = at + 1 }
    var files: [[String]] = []
    var stages: [Int] = []
    var byFile: [String: Int] = [:]
    var byStage = Array(repeating: 0, count: supply.order.count + 1)
    for (at, unit) in units.units.enumerated() {
      let needed = finished.contains(at) ? [] : Self.files(of: unit, units.items[unit.item])
      var stage = 0
      for file in needed {
        guard let rank = ranks[file] else {
          throw Failure(.mismatch, file, "is needed and will not come")
        }
        stage = max(stage, rank)
        byFile[file, default: 0] += 1
      }
      byStage[stage] += 1
      files.append(needed)
      stages.append(stage)
    }
    var itemStages = Array(repeating: 0, count: units.items.count)
    for (at, unit) in units.units.enumerated() {
      itemStages[unit.item] = max(itemStages[unit.item], stages[at])
    }
    order = units.units.indices.sorted {
      (itemStages[units.units[$0].item], $0) < (itemStages[units.units[$1].item], $1)
    }
    self.files = files
    self.stages = stages
    var state = Open(byFile: byFile, byStage: byStage)
    let passed = state.advance()
    open = Mutex(state)
    try supply.begin(Set(byFile.keys))
    if let passed { supply.passed(passed) }
  }

  private static func files(of unit: PackUnits.Unit, _ item: PackUnits.Item) -> [String] {
    var files: Set<String> = []
    for piece in unit.pieces {
      for source in item.sections[piece.section].rows.sources { files.formUnion(source.files) }
    }
    return files.sorted()
  }

  /// Waits for a unit's files.
  func wait(for unit: Int) throws(Failure) {
    guard let supply else { return }
    for file in files[unit] { try supply.wait(for: file) }
  }

  /// Lets go of a finished unit's files.
  func finish(_ unit: Int) {
    guard let supply else { return }
    let (released, passed) = open.withLock { open -> ([String], Int?) in
      var released: [String] = []
      for file in files[unit] {
        let left = (open.byFile[file] ?? 1) - 1
        open.byFile[file] = left
        if left == 0 { released.append(file) }
      }
      open.byStage[stages[unit]] -= 1
      return (released, open.advance())
    }
    for file in released { supply.release(file) }
    if let passed { supply.passed(passed) }
  }

  func stop() { supply?.stop() }
}
