"""Questions to check yourself by: answers that say, when opened, whether they are right, and why.

In Markdown, the question in the first line, and a list in which `[x]` marks the right answer:

    ```{quiz} What is $2 + 2$?
    - [ ] 3

      Then $2$ would be $1$.
    - [x] 4

      Count on your fingers.
    ```

A question that holds `code` opens and closes with ~~~, since Markdown takes no backticks in the
first line of a block that opens with them. In Jupyter a question is readable as it stands. HTML gets
one <details> for each answer; those of one question have one name, so that opening one closes the
other, without a script.
"""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

RIGHT, WRONG = "✓ Right.", "✗ Not this one."


class quiz(nodes.General, nodes.Element):
    """One question and its answers."""


class quiz_question(nodes.paragraph):
    """What is asked."""


class quiz_answer(nodes.General, nodes.Element):
    """An answer, and below it what is said of it."""


# A caption, so that no formula in it becomes a link (see tips.py): a click opens the answer.
class quiz_choice(nodes.caption):
    """The answer itself, always seen."""


class quiz_reply(nodes.General, nodes.Element):
    """Whether the answer is right, and why: seen when it is opened."""


class Quiz(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self):
        try:
            return [self.quiz()]
        except ValueError as error:
            raise self.error(f"quiz: {error}.") from error

    def quiz(self):
        body = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, body)
        if len(body) != 1 or not isinstance(body[0], nodes.bullet_list):
            raise ValueError("below the question stands one list, an answer in each item")
        found = [self.answer(item) for item in body[0]]
        if len(found) < 2:
            raise ValueError("a question has at least two answers")
        if (right := sum(answer["right"] for answer in found)) != 1:
            raise ValueError(f"exactly one answer is right, marked [x]; here {right} are")
        name = f"quiz-{self.env.new_serialno('quiz') + 1}"
        for answer in found:
            answer["group"] = name
        inline, messages = self.state.inline_text(self.arguments[0], self.lineno)
        question = quiz_question("", "", *inline, *messages, ids=[name])
        return quiz("", question, *found, labelled_by=name)

    def answer(self, item):
        mark = item.astext()[:4]
        if mark not in ("[ ] ", "[x] "):
            raise ValueError(f"an answer begins with [ ] or [x], and not with {mark!r}")
        first, *rest = item.children
        if not rest:
            raise ValueError(f"the answer {first.astext()[4:]!r} needs a second paragraph: why")
        first[0] = nodes.Text(first[0].astext()[4:])
        right = mark == "[x] "
        verdict = nodes.strong("", RIGHT if right else WRONG)
        if isinstance(rest[0], nodes.paragraph):
            rest[0][:0] = [verdict, nodes.Text(" ")]
        else:
            rest.insert(0, nodes.paragraph("", "", verdict))
        choice, reply = quiz_choice("", "", *first.children), quiz_reply("", *rest)
        return quiz_answer("", choice, reply, right=right)


def visit_quiz(self, node):
    self.body.append(f'<div class="quiz" role="group" aria-labelledby="{node["labelled_by"]}">\n')


def depart_quiz(self, node):
    self.body.append("</div>\n")


def visit_question(self, node):
    self.body.append(self.starttag(node, "p", "", CLASS="quiz-question"))


def depart_question(self, node):
    self.body.append("</p>\n")


def visit_answer(self, node):
    side = "right" if node["right"] else "wrong"
    self.body.append(f'<details class="quiz-answer {side}" name="{node["group"]}">')


def depart_answer(self, node):
    self.body.append("</details>\n")


def visit_choice(self, node):
    self.body.append("<summary>")


def depart_choice(self, node):
    self.body.append("</summary>")


def visit_reply(self, node):
    self.body.append('<div class="quiz-reply">')


def depart_reply(self, node):
    self.body.append("</div>")


def leave(self, node):
    """For builders other than HTML: what stands inside is enough."""


def setup(app):
    for node, visit, depart in (
        (quiz, visit_quiz, depart_quiz),
        (quiz_question, visit_question, depart_question),
        (quiz_answer, visit_answer, depart_answer),
        (quiz_choice, visit_choice, depart_choice),
        (quiz_reply, visit_reply, depart_reply),
    ):
        others = dict.fromkeys(("latex", "text", "man", "texinfo"), (leave, leave))
        app.add_node(node, html=(visit, depart), **others)
    app.add_directive("quiz", Quiz)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
