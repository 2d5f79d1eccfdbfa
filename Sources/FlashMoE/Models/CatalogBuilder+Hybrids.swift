import Checkpoints
import WeightStore

/// Tensors of mixers other than plain attention.
extension CatalogBuilder {
  /// Queries and gates, which checkpoints hold head by head in one tensor.
  mutating func addGatedQueries(_ attention: ModelConfiguration.Attention, layer: Int) {
    let dimension = attention.headDimension
    for (at, name) in ["q_proj", "q_gate_proj"].enumerated() {
      let rows = (0..<attention.queryRows).map { row in
        (row / dimension * 2 + at) * dimension + row % dimension
      }
      append(
        "model.layers.\(layer).self_attn.\(name).weight", .attention,
        .plain(
          source(
            "self_attn.q_proj.weight", layer: layer, rows: rows.count,
            columns: configuration.hiddenSize, order: .rows(rows))))
    }
  }

  mutating func add(_ attention: ModelConfiguration.LatentAttention, layer: Int) {
    let hidden = configuration.hiddenSize
    func addBias(_ name: String, _ count: Int) {
      guard attention.hasBias else { return }
      addVector("self_attn.\(name).bias", layer: layer, count: count)
    }
    if let rank = attention.queryRank {
      addMatrix("self_attn.q_a_proj.weight", layer: layer, .attention, rows: rank, columns: hidden)
      addBias("q_a_proj", rank)
      addVector("self_attn.q_a_layernorm.weight", layer: layer, count: rank)
      addMatrix(
        "self_attn.q_b_proj.weight", layer: layer, .attention, rows: attention.queryRows,
        columns: rank)
    } else {
      addMatrix(
        "self_attn.q_proj.weight", layer: layer, .attention, rows: attention.queryRows,
        columns: hidden)
    }
    addMatrix(
      "self_attn.kv_a_proj_with_mqa.weight", layer: layer, .attention,
      rows: attention.compressedRows, columns: hidden)
    addBias("kv_a_proj_with_mqa", attention.compressedRows)
    addVector("self_attn.kv_a_layernorm.weight", layer: layer, count: attention.rank)
    addExpansions(attention, layer: layer)
    addMatrix(
      "self_attn.o_proj.weight", layer: layer, .attention, rows: hidden,
      columns: attention.valueRows)
    addBias("o_proj", hidden)
  }

  /// What expands a latent vector: for each head its part for keys, input before output, and its
  /// part for values.
  private mutating func addExpansions(
    _ attention: ModelConfiguration.LatentAttention, layer: Int
  ) {
    let (rank, plain) = (attention.rank, attention.plainDimension)
    let (values, lines) = (attention.valueDimension, plain + attention.valueDimension)
    let heads = 0..<attention.headCount
    let together = names.tensor("self_attn.kv_b_proj.weight", layer: layer, form.kind)
    let apart = names.tensor("self_attn.k_b_proj.weight", layer: layer, form.kind)
    let isSplit = form.contains(apart)
    append(
      "model.layers.\(layer).self_attn.k_b_proj.weight", .precise,
      .heads(
        heads.map { head in
          isSplit
            ? TensorCatalog.Source(apart, firstRow: head * rank, rows: rank, columns: plain)
            : TensorCatalog.Source(
              together, firstRow: head * rank, rows: rank, columns: plain, transposedRows: rank,
              transposedLines: lines)
        }))
    let valueTensor = names.tensor("self_attn.v_b_proj.weight", layer: layer, form.kind)
    append(
      "model.layers.\(layer).self_attn.v_b_proj.weight", .precise,
      .heads(
        heads.map { head in
          isSplit
            ? TensorCatalog.Source(
              valueTensor, firstRow: head * values, rows: values, columns: rank)
            : TensorCatalog.Source(
              together, firstRow: head * lines + plain, rows: values, columns: rank)
        }))
  }

  mutating func add(_ net: ModelConfiguration.DeltaNet, layer: Int) {
    let hidden = configuration.hiddenSize
    let heads = net.valueHeadCount
    let fused = FusedDeltaRows(net)
    let mixed = fusedTensor("linear_attn.in_proj_qkvz.weight", layer: layer)
    let gates = fusedTensor("linear_attn.in_proj_ba.weight", layer: layer)
    for (name, role, rows, together, order) in [
      ("in_proj_qkv", TensorCatalog.Role.attention, net.channels, mixed, fused.mixed),
      ("in_proj_z", .attention, net.valueRows, mixed, fused.gate),
      ("in_proj_b", .router, heads, gates, fused.rate),
      ("in_proj_a", .router, heads, gates, fused.decay),
    ] {
      let suffix = "linear_attn.\(name).weight"
      append(
        "model.layers.\(layer)." + suffix, role,
        .plain(
          together.map {
            TensorCatalog.Source($0, rows: rows, columns: hidden, order: .rows(order))
          } ?? source(suffix, layer: layer, rows: rows, columns: hidden)))
    }
    append(
      "model.layers.\(layer).linear_attn.conv1d.weight", .vector,
      .plain(
        source(
          "linear_attn.conv1d.weight", layer: layer, rows: net.channels, columns: net.taps)))
    addVector("linear_attn.A_log", layer: layer, count: heads)
    addVector("linear_attn.dt_bias", layer: layer, count: heads)
    addVector("linear_attn.norm.weight", layer: layer, count: net.valueDimension)
    addMatrix(
      "linear_attn.out_proj.weight", layer: layer, .attention, rows: hidden,
      columns: net.valueRows)
  }

  /// The tensor that holds several projections in one, where this checkpoint has such.
  private func fusedTensor(_ suffix: String, layer: Int) -> String? {
    let name = names.tensor(suffix, layer: layer, form.kind)
    return form.kind == .gguf
      ? (form.contains(name) ? name : nil) : (names.fusesDeltaProjections ? name : nil)
  }
}

/// Where the rows of each projection lie in tensors interleaved by key head: for each of them its
/// query, its key, its value heads and their gates; and its value heads' rates and decays.
private struct FusedDeltaRows {
  var mixed: [Int] = []
  var gate: [Int] = []
  var rate: [Int] = []
  var decay: [Int] = []

  init(_ net: ModelConfiguration.DeltaNet) {
    let values = net.valuesPerKeyHead * net.valueDimension
    let pitch = 2 * net.keyDimension + 2 * values
    let starts = (0..<net.keyHeadCount).map { $0 * pitch }
    func part(_ offset: Int, _ count: Int) -> [Int] {
      starts.flatMap { start in (0..<count).map { start + offset + $0 } }
    }
    mixed =
      part(0, net.keyDimension) + part(net.keyDimension, net.keyDimension)
      + part(2 * net.keyDimension, values)
    gate = part(2 * net.keyDimension + values, values)
    for head in 0..<net.keyHeadCount {
      let first = 2 * head * net.valuesPerKeyHead
      rate += (0..<net.valuesPerKeyHead).map { first + $0 }
      decay += (0..<net.valuesPerKeyHead).map { first + net.valuesPerKeyHead + $0 }
    }
  }
}
