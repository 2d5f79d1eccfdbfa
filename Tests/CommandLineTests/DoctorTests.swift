import Support
import TestSupport
import Testing

@Suite struct DoctorTests {
  /// Sizes follow from shapes alone, so they can be compared with what is known of the models.
  @Test func tellsWhatEachModelNeeds() throws {
    let result = try flashmoe("doctor", "--no-probe", "--ram", "6GB", "--json")
    #expect(result.code == 0)
    let report = try result.json()
    let models = try #require(report["models"]?.array)
    let small = try #require(models.first { $0["model"]?.string == "qwen3-30b-a3b" })
    // 30.5 billion weights of 4.5 bits, 3.0 billion of them for a token without the embedding.
    #expect(abs((small["store_bytes"]?.double ?? 0) / (30.53e9 * 4.51 / 8) - 1) < 0.01)
    #expect(abs((small["active_parameters"]?.double ?? 0) / 3.04e9 - 1) < 0.01)
    // Eight records of 2.65 MB in each of 48 layers.
    #expect(small["routed_bytes_per_token"]?.integer == 48 * 8 * 2_654_208)
    #expect(small["fits_memory"]?.bool == true)
    let share = try #require(small["cached_share"]?.double)
    #expect(share > 0.2 && share < 0.35)
    #expect(small["tokens_per_second"]?.isNull == true)
    for model in models {
      let minimum = try #require(model["minimum_bytes"]?.integer)
      #expect((model["fits_memory"]?.bool ?? true) == (minimum <= 6_000_000_000))
    }
  }

  @Test func aBudgetBelowTheLeastDoesNotFit() throws {
    let least = try flashmoe("doctor", "--no-probe", "--json").json()["models"]?.array?.first
    let bytes = try #require(least?["minimum_bytes"]?.integer)
    for (budget, fits) in [(bytes, true), (bytes - 1, false)] {
      let report = try flashmoe("doctor", "--no-probe", "--ram", "\(budget)", "--json").json()
      #expect(report["models"]?.array?.first?["fits_memory"]?.bool == fits)
    }
    let text = try flashmoe("doctor", "--no-probe", "--ram", "\(bytes - 1)").output
    #expect(text.contains("does not fit: needs"))
  }

  @Test func measuresAndLeavesNothingBehind() throws {
    let folder = try TemporaryDirectory()
    let result = try flashmoe("doctor", "--disk", folder.path, "--json")
    #expect(result.code == 0)
    let machine = try #require(try result.json()["machine"])
    for name in ["memory_bytes_per_second", "int8_operations_per_second"] {
      #expect((machine[name]?.double ?? 0) > 1e6, "\(name)")
    }
    if let disk = machine["disk"], !disk.isNull {
      #expect((disk["read_bytes_per_second"]?.double ?? 0) > 1e5)
      #expect((disk["write_bytes_per_second"]?.double ?? 0) > 1e5)
      let model = try result.json()["models"]?.array?.first { $0["fits_memory"]?.bool == true }
      if let model {
        let slow = model["tokens_per_second_without_overlap"]?.double ?? 0
        let fast = model["tokens_per_second"]?.double ?? 0
        #expect(0 < slow && slow <= fast)
      }
    } else {
      // A full disk is told, and no reason to fail.
      #expect(machine["disk_problem"]?.string?.isEmpty == false)
    }
    #expect(try FileSystem.list(folder.path).isEmpty)
  }

  @Test func refusesAFolderThatIsNotThere() throws {
    let result = try flashmoe("doctor", "--disk", "/nowhere/at/all")
    #expect(result.code == 1)
    #expect(result.messages.contains("/nowhere/at/all"))
    #expect(try flashmoe("doctor", "--ctx", "0").code == 64)
  }

  @Test func printsATableForPeople() throws {
    let output = try flashmoe("doctor", "--no-probe").output
    for word in ["This machine", "matrix engine", "least RAM", "qwen3-30b-a3b", "qwen3.5-397b"] {
      #expect(output.contains(word), "\(word)")
    }
  }
}
