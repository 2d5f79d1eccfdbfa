import Support

/// How a Hugging Face configuration says that weights are quantized.
///
/// It decides what packed integers mean.  Bits and group sizes follow from the tensors' shapes, so
/// that layers may differ in them; where the configuration gives them, they must agree.
public enum StoredQuantization: Sendable, Equatable {
  case none
  /// 8-bit floats with scales; `block` where blocks of rows and columns share one.
  case fp8(block: Block?)
  case mxfp4
  case mlx(MLX)
  case gptq(GPTQ)
  case awq(groupSize: Int?)
  /// compressed-tensors' packed integers or 8-bit floats.
  case compressedTensors

  public struct Block: Sendable, Equatable {
    public var rows: Int
    public var columns: Int

    public init(rows: Int, columns: Int) {
      self.rows = rows
      self.columns = columns
    }
  }

  public struct GPTQ: Sendable, Equatable {
    public var bits: Int
    /// nil: one group a row.
    public var groupSize: Int?
    /// Columns were quantized in an order of their own, so groups are not neighbours.
    public var reorders: Bool
    /// All zero points are half the range.
    public var isSymmetric: Bool
    /// What is stored of a zero point is one less than it is: all but version 2.
    public var storesZeroMinusOne: Bool
  }

  public struct MLX: Sendable, Equatable {
    public struct Width: Sendable, Equatable {
      public var bits: Int
      public var groupSize: Int
    }
    public var width: Width
    /// Layers that differ, by the name of their module.
    public var exceptions: [String: Width]

    public func width(of module: String) -> Width { exceptions[module] ?? width }
  }

  /// The name users know it by.
  public var name: String {
    switch self {
    case .none: "none"
    case .fp8: "fp8"
    case .mxfp4: "mxfp4"
    case .mlx: "mlx"
    case .gptq: "gptq"
    case .awq: "awq"
    case .compressedTensors: "compressed-tensors"
    }
  }
}

extension StoredQuantization {
  /// - Throws: `Failure(.unsupported)` naming a method that is not known.
  public init(config: JSONValue, subject: String) throws(Failure) {
    let text = config["text_config"]
    guard
      let found = config["quantization_config"]?.object ?? config["quantization"]?.object
        ?? text?["quantization_config"]?.object
    else {
      self = .none
      return
    }
    let reader = Reader(root: .object(found), subject: subject)
    guard let method = found["quant_method"]?.string else {
      // MLX writes its table under both names and gives no method.
      self = .mlx(try reader.mlx(found))
      return
    }
    switch method {
    case "fp8", "fbgemm_fp8": self = .fp8(block: try reader.block())
    case "mxfp4": self = .mxfp4
    case "gptq": self = .gptq(try reader.gptq())
    case "awq": self = .awq(groupSize: try reader.awq())
    case "compressed-tensors":
      try reader.checkCompressed()
      self = .compressedTensors
    default:
      throw Failure(
        .unsupported, subject, at: "\"quant_method\"",
        "\"\(TensorPlacement.printable(method))\" is not supported; fp8, mxfp4, gptq, awq, "
          + "compressed-tensors and MLX's are",
        remedy: "Use the model's unquantized checkpoint, or a GGUF of it")
    }
  }

  private struct Reader {
    let root: JSONValue
    let subject: String

    func failure(_ key: String, _ problem: String, _ kind: Failure.Kind = .unsupported) -> Failure {
      Failure(kind, subject, at: "quantization, \"\(key)\"", problem)
    }

    func integer(_ key: String, in value: JSONValue? = nil, _ range: ClosedRange<Int>)
      throws(Failure) -> Int?
    {
      guard let value = (value ?? root)[key], value != .null else { return nil }
      guard let number = value.integer, range.contains(number) else {
        throw failure(key, "must be from \(range.lowerBound) to \(range.upperBound)", .malformed)
      }
      return number
    }

    func flag(_ key: String, default fallback: Bool) throws(Failure) -> Bool {
      guard let value = root[key], value != .null else { return fallback }
      guard let flag = value.bool else { throw failure(key, "must be true or false", .malformed) }
      return flag
    }

    func block() throws(Failure) -> Block? {
      guard let value = root["weight_block_size"], value != .null else { return nil }
      guard let sides = value.array, sides.count == 2, let rows = sides[0].integer,
        let columns = sides[1].integer, (1...1 << 20).contains(rows),
        (1...1 << 20).contains(columns)
      else { throw failure("weight_block_size", "must be two positive numbers", .malformed) }
      if let format = root["fmt"]?.string, format != "e4m3" {
        throw failure("fmt", "\"\(TensorPlacement.printable(format))\" is not supported; e4m3 is")
      }
      return Block(rows: rows, columns: columns)
    }

    /// A group size, nil for -1.
    func group(_ key: String) throws(Failure) -> Int? {
      let size = try integer(key, -1...1 << 20)
      return size == -1 ? nil : size
    }

    func gptq() throws(Failure) -> GPTQ {
      let bits = try integer("bits", 1...16) ?? 4
      guard bits == 4 || bits == 8 else {
        throw failure("bits", "GPTQ with \(bits) bits is not supported; 4 and 8 are")
      }
      let format = root["checkpoint_format"]?.string ?? "gptq"
      guard format == "gptq" || format == "gptq_v2" else {
        throw failure(
          "checkpoint_format", "\"\(TensorPlacement.printable(format))\" is not supported")
      }
      if let rules = root["dynamic"]?.object,
        let rule = rules.members.first(where: { !$0.key.hasPrefix("-:") })
      {
        throw failure(
          "dynamic",
          "rules by module such as \"\(TensorPlacement.printable(rule.key))\" are not "
            + "supported")
      }
      return GPTQ(
        bits: bits, groupSize: try group("group_size"),
        reorders: try flag("desc_act", default: false), isSymmetric: try flag("sym", default: true),
        storesZeroMinusOne: format == "gptq")
    }

    func awq() throws(Failure) -> Int? {
      var bits = try integer("bits", 1...16)
      if bits == nil { bits = try integer("w_bit", 1...16) }
      let found = bits ?? 4
      guard found == 4 else {
        throw failure("bits", "AWQ with \(found) bits is not supported; 4 is")
      }
      let version = (root["version"]?.string ?? "gemm").lowercased()
      guard version == "gemm" else {
        throw failure(
          "version",
          "AWQ's layout \"\(TensorPlacement.printable(version))\" is not supported; "
            + "gemm is")
      }
      return root["group_size"] == nil ? try group("q_group_size") : try group("group_size")
    }

    func checkCompressed() throws(Failure) {
      let format = root["format"]?.string ?? "pack-quantized"
      let known = ["pack-quantized", "float-quantized", "mixed-precision", "dense"]
      guard known.contains(format) else {
        throw failure(
          "format",
          "compressed-tensors' \"\(TensorPlacement.printable(format))\" is not supported; "
            + "pack-quantized and float-quantized are")
      }
      if let sparsity = root["sparsity_config"]?["format"]?.string, sparsity != "dense" {
        throw failure("sparsity_config", "sparse weights are not supported")
      }
    }

    func mlx(_ table: JSONObject) throws(Failure) -> MLX {
      guard let width = try width(root) else {
        throw failure("quant_method", "is missing, and neither bits nor group_size are given")
      }
      var exceptions: [String: MLX.Width] = [:]
      for (name, value) in table.members where value.object != nil {
        if let width = try self.width(value) { exceptions[name] = width }
      }
      return MLX(width: width, exceptions: exceptions)
    }

    private func width(_ value: JSONValue) throws(Failure) -> MLX.Width? {
      guard let bits = try integer("bits", in: value, 1...16),
        let group = try integer("group_size", in: value, 1...1 << 20)
      else { return nil }
      return MLX.Width(bits: bits, groupSize: group)
    }
  }
}
