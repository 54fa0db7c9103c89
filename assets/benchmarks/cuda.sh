#!/usr/bin/env bash
# Ours against PyTorch on one GPU, at the sizes of the Transfusion paper:
#
#   bash assets/benchmarks/cuda.sh PROGRAM FOLDER [PART…]        parts: parity 163m-mot 163m-dense 760m-dense torch-…
#
# PROGRAM is `interfuse` built with CUDA. One sequence is 4096 rows: 8 documents of 256 rows of text and one image of 256
# patches. Writes what each part prints into FOLDER, and all of it to the terminal.
set -uo pipefail
program="$1" out="$2"
shift 2
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mkdir -p "$out"

# size, architecture, sequences
step() {
    local parts='[["text"],["image"]]' shape
    [ "$2" = dense ] && parts='[["text","image"]]'
    case "$1" in
        163m) shape="768 16 12 2048" ;;
        760m) shape="1536 24 24 4096" ;;
        1.4b) shape="2048 24 16 5632" ;;
    esac
    read -r d_model layers heads d_ff <<<"$shape"
    "$program" bench step --steps "${STEPS:-10}" --warmup "${WARMUP:-4}" \
        --set run.device=cuda --set train.precision="${PRECISION:-bf16}" \
        --set "model.partition=$parts" --set model.backbone.d_model="$d_model" --set model.backbone.n_layers="$layers" \
        --set model.backbone.n_heads="$heads" --set model.backbone.d_ff="$d_ff" --set model.modalities.text.vocab_size=32000 \
        --set 'data.image_size=[128,128]' --set data.source.caption_length=252 \
        --set train.documents_per_sequence=8 --set train.batch_size=$((8 * $3)) --set train.gradient_accumulation=1
}

for part in "${@:-parity}"; do
    echo "== $part"
    started=$SECONDS
    case "$part" in
        parity) "$program" bench device --device cuda ;;
        163m-*) step 163m "${part#163m-}" "${SEQUENCES:-8}" ;;
        760m-*) step 760m "${part#760m-}" "${SEQUENCES:-4}" ;;
        torch-163m-*) python3 "$here/yardstick_cuda.py" --size 163m --arch "${part#torch-163m-}" --batch "${SEQUENCES:-8}" ;;
        torch-760m-*) python3 "$here/yardstick_cuda.py" --size 760m --arch "${part#torch-760m-}" --batch "${SEQUENCES:-4}" ;;
        *) echo "no such part" ;;
    esac 2>&1 | tee "$out/$part.txt"
    echo "-- $part took $((SECONDS - started)) s"
done
