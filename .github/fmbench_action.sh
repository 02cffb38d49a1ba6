#!/usr/bin/env bash
# The steps of action.yml. What users say comes in variables of the environment and is never part of a command's text.
set -euo pipefail

say_output() { printf '%s=%s\n' "$1" "$2" >> "$GITHUB_OUTPUT"; }

install() {
  local words
  read -r -a words <<< "$FMBENCH_INSTALL"
  [ "$FMBENCH_INSTALL" != action ] || words=("$GITHUB_ACTION_PATH")
  python -m pip install --quiet "${words[@]}"
}

# Runs the suite, writes the comment, and says which of the outputs hold: report, comment, worse, failed.
run() {
  local work arguments=() words line code=0 page
  work=$(mktemp -d "${RUNNER_TEMP:-/tmp}/fmbench.XXXXXX")
  while IFS= read -r line; do
    read -r -a words <<< "$line"
    arguments+=("${words[@]}")
  done <<< "${FMBENCH_ARGUMENTS:-}"
  fmbench run "$FMBENCH_SUITE" --no-tracking --reports "$work/reports" ${arguments[@]+"${arguments[@]}"} || code=$?
  mkdir -p "$work/reports"
  page=$(find "$work/reports" -mindepth 2 -maxdepth 2 -name results.json | head -n 1)
  if [ -z "$page" ]; then
    echo "::error::fmbench run wrote no report (exit code $code)"
    say_output failed true
    exit "$((code == 0 ? 1 : code))"
  fi
  say_output report "$(dirname "$page")"
  say_output failed "$([ "$code" = 0 ] && echo false || echo true)"
  compare "$(dirname "$page")" "$work/comment.md"
  say_output comment "$work/comment.md"
  cat "$work/comment.md" >> "$GITHUB_STEP_SUMMARY"
}

# Writes the comment on a report: against the baseline where there is one, else the report's own answer.
compare() {
  local report=$1 comment=$2 code=0
  marker > "$comment"
  if [ -z "${FMBENCH_BASELINE:-}" ]; then
    sed -n '1,/^|/{/^|/!p}' "$report/table.md" >> "$comment"
    say_output worse false
    return
  fi
  fmbench compare "$FMBENCH_BASELINE" "$report" --markdown --fail-on worse \
    --html "$report/against_baseline.html" >> "$comment" || code=$?
  if [ "$code" -gt 1 ]; then
    echo "::error::the report could not be compared with $FMBENCH_BASELINE"
    say_output worse false
    exit "$code"
  fi
  say_output worse "$([ "$code" = 1 ] && echo true || echo false)"
}

# The first line of the comment, by which it is found again; a suite has one of its own.
marker() { printf '<!-- fmbench: %s -->\n' "$(printf '%s' "$FMBENCH_SUITE" | tr -c 'A-Za-z0-9._\n-' '_')"; }

# Makes the comment, or replaces the one that an earlier run of the action made.
comment() {
  local place=repos/$GITHUB_REPOSITORY/issues former
  if ! [[ $FMBENCH_PULL_REQUEST =~ ^[0-9]+$ ]]; then
    echo "::error::no number of a pull request: $FMBENCH_PULL_REQUEST"
    exit 1
  fi
  if [ -z "${FMBENCH_COMMENT:-}" ]; then
    echo "::warning::there is no verdict to comment: see the step that runs the suite"
    return
  fi
  if ! former=$(gh api --paginate "$place/$FMBENCH_PULL_REQUEST/comments" --jq \
    ".[] | select(.user.type == \"Bot\" and (.body | startswith(\"$(marker)\"))) | .id"); then
    echo "::warning::the comments cannot be read; the verdict is in the job's summary"
    return
  fi
  former=$(head -n 1 <<< "$former")
  if [ -n "$former" ]; then
    set -- --method PATCH "$place/comments/$former"
  else
    set -- --method POST "$place/$FMBENCH_PULL_REQUEST/comments"
  fi
  gh api "$@" -F "body=@$FMBENCH_COMMENT" --silent ||
    echo "::warning::the comment was refused (a fork's token cannot comment); the verdict is in the job's summary"
}

verdict() {
  if [ "${FMBENCH_FAILED:-}" != false ]; then
    echo "::error::cells failed; the report names them"
    exit 1
  fi
  if [ "${FMBENCH_FAIL_ON:-}" = worse ] && [ "${FMBENCH_WORSE:-}" = true ]; then
    echo "::error::something got worse than the baseline"
    exit 1
  fi
}

case ${1:-} in
  install | run | comment | verdict) "$1" ;;
  *) echo "usage: $0 install|run|comment|verdict" >&2 && exit 2 ;;
esac
