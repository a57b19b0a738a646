"""What may be asked of treedock, and what it answers: a file per room, a class per verb.

A face makes a request from options, a HTTP body or a tool's arguments, hands it to a Controller
(runner.controller.verbs) and shows the answer.
"""
