"""What the protocols tell their models, each text here and nowhere else.

The words are ours; what each step asks for follows the published protocols. The worker's prompt of
MinionS is the one that the reference model was trained on.

Source: Narayan and others, Minions: Cost-efficient Collaboration Between On-device and Cloud
Language Models, arXiv 2502.15964.
"""

from __future__ import annotations

from collections.abc import Sequence

WORDS_TOKENS = 512
"""Room for a prompt of this module without what is put into it, and a question."""
CHARACTERS_PER_TOKEN = 2.5
"""Fewest of the reference tokenizer, whose words are short; other models' hold four and more."""


def most_tokens(characters: int) -> int:
    """The most tokens that a text of so many characters takes."""
    return round(characters / CHARACTERS_PER_TOKEN)


def repair_prompt(problem: str) -> str:
    """Ask again for JSON, saying what was wrong with what came."""
    return f"That is not the JSON that was asked for ({problem}). Reply with the JSON object only."


# Minion: a conversation


def open_prompt(task: str) -> str:
    """Let the supervisor, who sees no document, ask its first question."""
    return (
        f"Task: {task}\n\n"
        "You cannot see the document that the task is about. An assistant, a small model, can. It "
        "knows nothing of the task. Think of what you need to know, then write one message to the "
        "assistant. "
        'Reply in JSON: {"reasoning": "...", "message": "..."}'
    )


def worker_context(document: str | None) -> str:
    """Give the worker the document, and its role."""
    role = (
        "You help someone who cannot see the text below. Answer each message from the text alone, "
        "briefly; give figures exactly as they stand there. Say so when the text does not tell."
    )
    return role if document is None else f"{role}\n\nText:\n{document}"


def think_prompt(answer: str) -> str:
    """Let the supervisor think about the worker's answer."""
    return (
        f"The assistant answered:\n{answer}\n\n"
        "Think step by step: does this settle the task? If not, what is missing, and what is the "
        "best next question?"
    )


UNANSWERED = "(The assistant gave no answer: {why})"


def decide_prompt(answer: str | None) -> str:
    """Let the supervisor answer the task or ask further; `answer` where it was not shown yet."""
    shown = "" if answer is None else f"The assistant answered:\n{answer}\n\n"
    return (
        f"{shown}Decide. Reply in JSON, either "
        '{"decision": "provide_final_answer", "answer": "..."} with the answer to the task and '
        'nothing else, or {"decision": "request_additional_info", "message": "..."} with your '
        "next message to the assistant."
    )


def conclude_prompt(answer: str) -> str:
    """Make the supervisor answer the task with what it has."""
    return (
        f"The assistant answered:\n{answer}\n\n"
        "No more questions can be asked. Answer the task as well as you can. Reply in JSON: "
        '{"decision": "provide_final_answer", "answer": "..."}; the answer is null if nothing that '
        "you know answers it."
    )


# MinionS: jobs over chunks


def advice_prompt(task: str) -> str:
    """Ask the supervisor for advice before it plans."""
    return (
        f"Task: {task}\n\n"
        "A long document that you cannot see holds the answer. Small models will read it piece by "
        "piece for you. In a few sentences: what has to be found, how would it be called in such a "
        "document, and what is easily mistaken for it?"
    )


def plan_prompt(
    task: str,
    *,
    advice: str | None,
    chunks: int,
    tasks: int,
    jobs: int,
    feedback: str | None = None,
    scratchpad: str | None = None,
) -> str:
    """Ask the supervisor for a plan of jobs, as data."""
    said = [f"Task: {task}"]
    if advice:
        said.append(f"Advice: {advice}")
    if feedback:
        said.append(f"What was missing in the round before: {feedback}")
    if scratchpad:
        said.append(f"Notes so far: {scratchpad}")
    said.append(
        f"The document is cut into {chunks} chunks, numbered from 0. Write up to {tasks} small "
        "tasks for models that see one chunk and one task at a time, and nothing else. A task asks "
        "for one thing, and can be understood by itself. For each task choose its chunks: "
        '{"kind": "all"}, {"kind": "bm25", "query": "words", "most": 8} for those that share the '
        'most telling words with a query, or {"kind": "places", "places": [0, 1]}. '
        f"Tasks times their chunks are at most {jobs}."
    )
    said.append(
        'Reply in JSON: {"tasks": [{"task": "...", "advice": "...", "chunks": {"kind": "all"}}]}'
    )
    return "\n\n".join(said)


def job_prompt(chunk: str, task: str, advice: str | None) -> str:
    """Ask a worker for one task over one chunk."""
    instructions = task if not advice else f"{task}\nAdvice: {advice}"
    return (
        f"Chunk:\n{chunk}\n\nTask: {instructions}\n"
        "Reply in JSON with explanation, citation and answer. "
        "If the chunk does not hold the answer, citation and answer are null."
    )


def task_line(number: int, task: str) -> str:
    """The heading of what was found for a task."""
    return f"Task {number}: {task}"


def finding(chunk: int, answer: str, citation: str | None) -> str:
    """What one worker found in one chunk."""
    cited = f' (cited: "{citation}")' if citation else ""
    return f"- chunk {chunk}: {answer}{cited}"


def findings(found: Sequence[tuple[str, Sequence[str], int]]) -> str:
    """What the workers found, task by task: (task, findings, how many more are left out)."""
    said = []
    for number, (task, lines, left_out) in enumerate(found, 1):
        said += [task_line(number, task), *lines]
        if left_out:
            said.append(f"- {left_out} {'more' if lines else 'findings'} left out for want of room")
        elif not lines:
            said.append("- found in no chunk")
    return "\n".join(said)


def weigh_prompt(task: str, found: str, unread: int) -> str:
    """Let the supervisor think about what was found."""
    missing = f"\n{unread} of the jobs brought no readable answer." if unread else ""
    return (
        f"Task: {task}\n\nWhat the models found:\n{found}{missing}\n\n"
        "They make mistakes. Weigh the findings against each other, step by step: what is the "
        "answer, or what is still missing?"
    )


def settle_prompt(*, last: bool) -> str:
    """Let the supervisor answer, or ask for another round."""
    answer = '"decision": "provide_final_answer", "answer": "..."'
    if last:
        return (
            "There is no further round. Answer the task as well as you can. Reply in JSON: "
            f'{{"explanation": "...", {answer}}}; the answer is null if the findings lack it.'
        )
    return (
        f'Decide. Reply in JSON, either {{"explanation": "...", {answer}}} with the answer to the '
        'task and nothing else, or {"explanation": "...", "decision": "request_additional_info", '
        '"feedback": "what to look for next", "scratchpad": "what is known so far"}.'
    )


def retrieved_prompt(passages: Sequence[str], question: str) -> str:
    """Ask with the passages that retrieval found, in the document's order."""
    shown = "\n\n[…]\n\n".join(passages)
    return f"From a longer document:\n\n{shown}\n\n{question}"
